package portal

import (
	"slices"
	"strings"

	"github.com/gofiber/fiber/v2"

	"portway/internal/problem"
	"portway/portal/contract"
	"portway/web/page"
)

// problems lists every code a caller can get.
func (p *Portal) problems(v *visit) error {
	view := page.Problems{}
	for _, c := range problem.Codes() {
		view.Problems = append(view.Problems, contract.Problem(c))
	}
	return p.render(v, fiber.StatusOK, page.ProblemsPage(p.frame(v, ""), view))
}

// problem is the page that the type of a problem body leads to.
func (p *Portal) problem(v *visit) error {
	code := problem.Code(v.Params("code"))
	codes := problem.Codes()
	if !slices.Contains(codes, code) {
		return fiber.ErrNotFound
	}
	view := page.Problem{ProblemRef: contract.Problem(code), Help: code.Help(), Index: "/problems"}
	for _, c := range codes {
		if c != code && areaOf(c) == areaOf(code) {
			view.Related = append(view.Related, contract.Problem(c))
		}
	}
	if v.account != nil {
		view.CallsHref = v.link("/calls?status=failed")
	}
	return p.render(v, fiber.StatusOK, page.ProblemPage(p.frame(v, ""), view))
}

// areaOf is what stands before the dot of a code.
func areaOf(c problem.Code) string {
	area, _, _ := strings.Cut(string(c), ".")
	return area
}
