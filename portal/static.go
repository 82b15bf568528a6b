package portal

import (
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
	if v.Get("If-None-Match") == f.ETag {
		return v.SendStatus(fiber.StatusNotModified)
	}
	return v.Send(f.Body)
}

func (p *Portal) styleguide(v *visit) error {
	return p.render(v, fiber.StatusOK, page.StyleguidePage(p.frame(v, ""), page.Styleguide{}))
}
