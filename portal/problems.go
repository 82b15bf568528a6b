package portal

import (
	"github.com/gofiber/fiber/v2"

	"portway/internal/problem"
	"portway/web/page"
)

func problemRef(c problem.Code) page.ProblemRef {
	return page.ProblemRef{Code: string(c), Status: c.Status(), Title: c.Title(), Href: "/problems/" + string(c)}
}

// problems lists every code a caller can get.
func (p *Portal) problems(v *visit) error {
	view := page.Problems{}
	for _, c := range problem.Codes() {
		view.Problems = append(view.Problems, problemRef(c))
	}
	return p.render(v, fiber.StatusOK, page.ProblemsPage(p.frame(v, ""), view))
}

// problem is the page that the type of a problem body leads to.
func (p *Portal) problem(v *visit) error {
	code := problem.Code(v.Params("code"))
	area, found := areaOf(code), false
	view := page.Problem{ProblemRef: problemRef(code), Help: code.Help(), Index: "/problems"}
	for _, c := range problem.Codes() {
		found = found || c == code
		if c != code && areaOf(c) == area {
			view.Related = append(view.Related, problemRef(c))
		}
	}
	if !found {
		return fiber.ErrNotFound
	}
	if v.account != nil {
		view.CallsHref = "/calls?status=failed"
	}
	return p.render(v, fiber.StatusOK, page.ProblemPage(p.frame(v, ""), view))
}

func areaOf(c problem.Code) string {
	for i := 0; i < len(c); i++ {
		if c[i] == '.' {
			return string(c[:i])
		}
	}
	return string(c)
}
