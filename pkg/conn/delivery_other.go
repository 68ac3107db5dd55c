//go:build !linux

package conn

import (
	"context"
	"time"
)

// Delivery can be confirmed on Linux only: elsewhere every order that was sent
// stays open.
type Delivery struct{}

// Watch watches nothing.
func Watch(context.Context) *Delivery { return nil }

// Close ends nothing.
func (d *Delivery) Close() {}

// Arrived never knows.
func (d *Delivery) Arrived(time.Duration) bool { return false }

// hungUp is not known: what is sent to a client that hung up gets lost.
func (c *tcpConn) hungUp() bool { return false }
