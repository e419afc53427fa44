// Command etcd is the server of go.etcd.io/etcd/server/v3, which the module proxy serves as a library only.
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() { etcdmain.Main(os.Args) }
