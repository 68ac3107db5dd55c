package site

import (
	"context"

	"pxesrv/pkg/boot"
)

// Look loads the script that text leads to, seen from the directory dir of the root ("." is the root itself), exactly as an
// entry of the tree there would. text is the text of a link, or a plain name. Errors are those of boot.Entry.Load.
func (s *Site) Look(ctx context.Context, dir, text string) (boot.Script, error) {
	return s.load(ctx, dir, text)
}
