package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// healthTime is how long a daemon may take to say how it is.
const healthTime = 3 * time.Second

const healthLong = `
Its settings are those of pxesrv serve: they say where the daemon listens. It
asks each address, except those that speak the PROXY protocol or need a
certificate of the client, and takes 3 s at most for all of them.
`

// healthCommand asks the daemon of this configuration on this machine how it
// is. It is the health check of the container image, in which there is no curl.
func healthCommand(std streams, src *sources) *cobra.Command {
	c := &cobra.Command{
		Use:   "health",
		Short: "ask the daemon here how it is; exit status 1 when it is not well",
		Long:  healthLong,
		Args:  noArgs,
	}
	ready := c.Flags().Bool("ready", false, "ask whether machines would get their answers; "+
		"without it, whether the daemon lives")
	addFlags(c, src.daemon)
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := src.merged(std) // a daemon whose disk hangs, or has lost the tree, lives
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), healthTime)
		defer cancel()
		asked := 0
		for i, addr := range append(slices.Clone(c.Addresses()), c.TLSListen...) {
			if slices.Contains(c.Protocol, addr) {
				continue // only a proxy is answered there
			}
			text, err := health(ctx, addr, i >= len(c.Addresses()), *ready)
			if err != nil {
				return fmt.Errorf("%s: %w", addr, err)
			}
			asked++
			fmt.Fprintf(std.out, "%s: %s\n", addr, text)
		}
		if asked == 0 {
			return withHint(errors.New("on every address the PROXY protocol is spoken, so "+
				"nobody but a proxy can ask"),
				"give one more --listen, such as unix:/run/pxesrv/health")
		}
		return nil
	}
	return c
}

// health asks the daemon that listens on addr, by HTTP or HTTPS. It returns
// what that says when it is well, on one line.
func health(ctx context.Context, addr string, https, ready bool) (string, error) {
	network, at, err := reachable(addr)
	if err != nil {
		return "", err
	}
	client := http.Client{
		Transport: &http.Transport{
			DisableKeepAlives: true,
			// The certificate is for the name that clients know. What is asked
			// here is no secret, and the answer is about this machine.
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, network, at)
			},
		},
		CheckRedirect: func(*http.Request,
			[]*http.Request) error {
			return http.ErrUseLastResponse
		},
	}
	url := "http://localhost"
	if https {
		url = "https://localhost"
	}
	if ready {
		url += "/readyz"
	} else {
		url += "/healthz"
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	resp, err := client.Do(r)
	if errors.Is(err, context.DeadlineExceeded) {
		return "", fmt.Errorf("no answer within %v", healthTime)
	} else if err != nil {
		return "", fmt.Errorf("no daemon answers: %w", errors.Unwrap(err))
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
	text := strings.ReplaceAll(strings.TrimSpace(string(body)), "\n", "; ")
	switch {
	case err != nil:
		return "", fmt.Errorf("the answer broke off: %w", err)
	case resp.StatusCode == http.StatusForbidden && !ready:
		// Who refuses lives.
		return "it refuses this machine's own address (clients.allow), so it lives", nil
	case resp.StatusCode == http.StatusForbidden:
		return "", withHint(errors.New("it refuses this machine's own address"),
			"put 127.0.0.1 and ::1 into clients.allow")
	case resp.StatusCode != http.StatusOK:
		return "", errors.New(text)
	}
	return text, nil
}

// reachable is where this machine reaches a daemon that listens on addr.
func reachable(addr string) (network, at string, err error) {
	if name, isUnix := strings.CutPrefix(addr, "unix:"); isUnix {
		return "unix", name, nil
	}
	// Without a host, or with that of every address, a connection goes to this
	// machine itself.
	if _, port, err := net.SplitHostPort(addr); err != nil {
		return "", "", err
	} else if port == "0" {
		return "", "", withHint(errors.New("port 0 is any that is free, so nobody knows where "+
			"the daemon is"), "name one")
	}
	return "tcp", addr, nil
}
