//go:build unix

// Package disttest tests what people get of pxesrv beside the program:
// packages, the container, the units of systemd, the tarballs and the
// documentation.
package disttest

import "time"

// repository is the root of the source.
const repository = "../../../.."

// patience is for one step on a loaded computer.
const patience = 3 * time.Minute
