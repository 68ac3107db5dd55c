//go:build !unix

package daemon

import "net"

func deepen(net.Listener) {}
