// Package loader knows the programs that firmware loads to get iPXE: their
// names, and where they lie on this machine.
package loader

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"pxesrv/pkg/reread"
)

// names are the loaders that have a path of their own, and what distributions
// call them.
var names = map[string][]string{
	"ipxe.efi":          {"ipxe.efi", "ipxe-x86_64.efi", "ipxe-amd64.efi"},
	"snponly.efi":       {"snponly.efi", "ipxe-snponly-x86_64.efi"},
	"ipxe-arm64.efi":    {"ipxe-arm64.efi", "arm64-efi/ipxe.efi"},
	"snponly-arm64.efi": {"snponly-arm64.efi", "arm64-efi/snponly.efi"},
	"undionly.kpxe":     {"undionly.kpxe"},
	"ipxe.lkrn":         {"ipxe.lkrn"},
	// See Shims.
	"ipxe-shim.efi":    {"ipxe-shim.efi", "ipxe-shimx64.efi"},
	"snponly-shim.efi": {"snponly-shim.efi", "ipxe-shim.efi", "ipxe-shimx64.efi"},
	"shimx64.efi":      {"shimx64.efi"},
	// What the shims of distributions start: iPXE under that name, beside the
	// shim.
	"grubx64.efi": {"grubx64.efi"},
}

// Shims are the loaders for machines with Secure Boot, all for x86-64, in the
// order in which one stands for another. See Build.Wants.
var Shims = []string{"ipxe-shim.efi", "snponly-shim.efi", "shimx64.efi"}

// Name returns the loader that a clean, absolute path of a request asks for:
// /NAME or /ipxe/NAME. "" is none.
func Name(path string) string {
	name := strings.TrimPrefix(strings.TrimPrefix(path, "/"), "ipxe/")
	if names[name] == nil {
		return ""
	}
	return name
}

// Open opens the loader name: ipxe/NAME of the tree, else NAME of the tree,
// else what the first of dirs has under one of its names there. open opens a
// file of the tree by its absolute path. Not there is fs.ErrNotExist; any other
// error of the tree ends the search, since nobody can know what should be
// there.
func Open(name string, dirs []string, open func(path string) (*os.File, error)) (*os.File, error) {
	for _, path := range []string{"/ipxe/" + name, "/" + name} {
		if f, err := open(path); err == nil || !errors.Is(err, fs.ErrNotExist) {
			return f, err
		}
	}
	for _, dir := range dirs {
		for _, file := range names[name] {
			f, err := openRegular(filepath.Join(dir, filepath.FromSlash(file)))
			if err == nil || !errors.Is(err, fs.ErrNotExist) {
				return f, err
			}
		}
	}
	return nil, fs.ErrNotExist
}

// openRegular opens a regular file, through links. Nothing else is there.
func openRegular(path string) (*os.File, error) {
	f, _, err := reread.Open(path)
	if errors.Is(err, syscall.ENOTDIR) || errors.Is(err, reread.ErrNotRegular) {
		return nil, fs.ErrNotExist
	}
	return f, err
}
