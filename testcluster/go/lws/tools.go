//go:build tools

// Package lws names the command that testcluster builds, so that `go mod tidy` pins what it needs.
package lws

import (
	_ "sigs.k8s.io/lws/cmd"
)
