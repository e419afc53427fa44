//go:build tools

// Package kueue names the command that testcluster builds, so that `go mod tidy` pins what it needs.
package kueue

import (
	_ "sigs.k8s.io/kueue/cmd/kueue"
)
