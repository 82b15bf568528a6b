package portal

// role is what a route asks of its visitor.
type role int

const (
	public role = iota // anyone
	member             // a signed-in account of an active organisation
)

type route struct {
	method  string
	path    string
	role    role
	handler func(*visit) error
}

// routes is the whole portal.
func (p *Portal) routes() []route {
	list := []route{
		{"GET", "/", public, p.home},
		{"GET", "/sign-in", public, p.signInForm},
		{"POST", "/sign-in", public, p.signIn},
		{"POST", "/sign-out", member, p.signOut},
		{"POST", "/theme", member, p.theme},
		{"GET", "/apis", member, p.catalogue},
		{"GET", "/apis/:api/:version", member, p.reference},
		{"GET", "/apis/:api/:version/openapi.json", member, p.document},
		{"GET", "/apis/:api/:version/:operation", member, p.reference},
		{"GET", "/calls", member, p.calls},
		{"GET", "/calls/:id", member, p.call},
		{"GET", "/problems", public, p.problems},
		{"GET", "/problems/:code", public, p.problem},
		{"GET", "/static/:name", public, p.static},
	}
	if p.Styleguide {
		list = append(list, route{"GET", "/styleguide", public, p.styleguide})
	}
	return list
}
