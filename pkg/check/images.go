package check

import "fmt"

// images checks what the boot images of hosts are made of: the list, each of
// its rows, the keys, the loaders, and each image.
func (l *lint) images() error {
	if err := l.site.Keyring().Err(); err != nil {
		l.add(l.config.KeyFile(), 0, Error, Hosts, err.Error(), "until then no host= counts")
	}
	images := l.site.Images()
	if images == nil {
		return nil
	}
	file := l.config.ISOHosts
	st := images.List.State()
	if st.Err != nil {
		l.add(file, 0, Error, Hosts, st.Err.Error(),
			"a daemon that read it before goes on with what it read")
	}
	for _, bad := range st.Bad {
		l.add(file, bad.Line, Error, Hosts, bad.Text(),
			"the host has no image until the row is right")
	}
	loaders, err := images.Loaders()
	if err != nil {
		l.add(file, 0, Warning, Hosts, fmt.Sprintf("no image can be made on this machine: %v", err),
			"install the packages where the daemon runs")
		return nil
	}
	for _, missing := range loaders.Missing() {
		l.add(file, 0, Warning, Hosts, missing, "install what is missing, or set iso.allow-partial")
	}
	for _, err := range images.Failures() {
		l.add(file, 0, Error, Hosts, err.Error(),
			"change the row, the loader, or set iso.allow-partial")
	}
	return nil
}
