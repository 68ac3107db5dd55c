//go:build !linux

package httpd

import "time"

// delivery can be confirmed on Linux only: elsewhere every order that was sent stays open.
type delivery struct{}

func (c *conn) watch() *delivery { return nil }

// hungUp is not known: what is sent to a client that hung up gets lost.
func (c *conn) hungUp() bool { return false }

func (d *delivery) close() {}

func (d *delivery) arrived(time.Duration) bool { return false }
