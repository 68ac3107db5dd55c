package site

import "pxesrv/pkg/tree"

// SetClock gives the tree another clock.
func (s *Site) SetClock(c tree.Clock) { s.tree.Clock = c }
