package portal

import (
	"strings"

	"github.com/gofiber/fiber/v2"

	"portway/web/page"
)

// static serves the style sheet, the script and the drawings; a hashed address never changes its content.
func (p *Portal) static(v *visit) error {
	f, ok := p.assets.Open(v.Params("name"))
	if !ok {
		return fiber.ErrNotFound
	}
	v.Set("Content-Type", f.Type)
	v.Set("ETag", f.ETag)
	v.Set("Cache-Control", "no-cache")
	if f.Immutable {
		v.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	if sameTag(v.Get("If-None-Match"), f.ETag) {
		return v.SendStatus(fiber.StatusNotModified)
	}
	return v.Send(f.Body)
}

// sameTag reports whether a list of entity tags holds tag, by weak comparison (RFC 9110 section 13.1.2).
func sameTag(list, tag string) bool {
	for one := range strings.SplitSeq(list, ",") {
		if one = strings.TrimSpace(one); one == "*" || strings.TrimPrefix(one, "W/") == tag {
			return true
		}
	}
	return false
}

func (p *Portal) styleguide(v *visit) error {
	return p.render(v, fiber.StatusOK, page.StyleguidePage(p.frame(v, ""), page.Styleguide{}))
}
