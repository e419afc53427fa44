//go:build tools

// Package trainer names the command that testcluster builds, so that `go mod tidy` pins what it needs.
package trainer

import (
	_ "github.com/kubeflow/trainer/v2/cmd/trainer-controller-manager"
)
