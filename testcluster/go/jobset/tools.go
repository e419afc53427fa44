//go:build tools

// Package jobset names the command that testcluster builds, so that `go mod tidy` pins what it needs.
package jobset

import (
	_ "sigs.k8s.io/jobset"
)
