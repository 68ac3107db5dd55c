package main

import (
	"cmp"
	"os"
	"os/user"
)

// actor is the login name of the person who gives the command, for the journal:
// that of before sudo. It is what the environment says, and proves nothing.
func actor() string {
	name := cmp.Or(os.Getenv("SUDO_USER"), os.Getenv("USER"))
	if u, err := user.Current(); name == "" && err == nil {
		name = u.Username
	}
	return name
}
