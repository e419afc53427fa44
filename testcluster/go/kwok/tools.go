//go:build tools

// Package kwok names the command that testcluster builds, so that `go mod tidy` pins what it needs.
package kwok

import (
	_ "sigs.k8s.io/kwok/cmd/kwok"
)
