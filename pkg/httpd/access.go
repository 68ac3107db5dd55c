package httpd

import (
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// access answers a request, and writes a line of the access log then: the
// Common Log Format, with the seconds that the answer took behind it, as the
// Ruby PXESrv and all of Rack write it. Nobody gets to wait for the log, if its
// Write does not wait.
func (s *Server) access(w http.ResponseWriter, q *request) {
	began, rec := time.Now(), &recorder{ResponseWriter: w}
	defer func() {
		if rec.status != 0 { // else the client went away before there was an answer
			s.Access.Write(accessLine(q, rec, time.Now(), began))
		}
	}()
	s.answer(rec, q)
	if rec.status == 0 {
		rec.status = http.StatusOK // the answer has no body, and says so when the handler returns
	}
}

// accessLine is a line of the access log.
func accessLine(q *request, rec *recorder, now, began time.Time) []byte {
	client, bytes := "-", "-"
	if q.source.IsValid() {
		client = q.source.String()
	}
	if rec.sent > 0 && q.Method != http.MethodHead {
		bytes = strconv.FormatInt(rec.sent, 10)
	}
	return fmt.Appendf(nil, "%s - - [%s] \"%s %s %s\" %d %s %.4f\n",
		client, now.Format("02/Jan/2006:15:04:05 -0700"),
		escaped(q.Method), escaped(requestURI(q.Request)), escaped(q.Proto),
		rec.status, bytes, now.Sub(began).Seconds())
}

// signature is what a host signs its name with, in a query.
var signature = regexp.MustCompile(`(?i)\b(hostsig=)[^&]+`)

// requestURI is the path and query of a request as they were sent, but for what
// lets its reader fetch an image or speak for a host.
func requestURI(r *http.Request) string {
	text := r.RequestURI
	if strings.Contains(r.URL.Path, imagePath) {
		if text = secret.ReplaceAllString(r.URL.Path, "$1..."); r.URL.RawQuery != "" {
			text += "?" + secret.ReplaceAllString(r.URL.RawQuery, "$1...")
		}
	}
	return signature.ReplaceAllString(text, "$1...")
}

// lineBytes is how much of one word of a request line gets into the access log.
const lineBytes = 1024

// escaped is a text as web servers write it into their logs: what is not
// printed, is not ASCII, or would end the quotes is \xXX.
func escaped(text string) string {
	cut := len(text) > lineBytes
	if cut {
		text = text[:lineBytes]
	}
	plain := true
	for i := range len(text) {
		plain = plain && plainByte(text[i])
	}
	if plain && !cut {
		return text
	}
	var b strings.Builder
	for i := range len(text) {
		if c := text[i]; plainByte(c) {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, `\x%02X`, c)
		}
	}
	if cut {
		b.WriteString("...")
	}
	return b.String()
}

func plainByte(c byte) bool { return c > ' ' && c < 0x7f && c != '"' && c != '\\' }
