package main

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain lets the test binary run as the program itself, under the name pxesrv.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"pxesrv": main})
}
