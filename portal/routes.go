package portal

// role is what a route asks of its visitor.
type role int

const (
	anyone  role = iota // nobody is asked who they are
	visitor             // anyone; who is signed in is known
	member              // a signed-in account of an active organisation
)

type route struct {
	method  string
	path    string
	role    role
	handler func(*visit) error
}

// routes is the whole portal. Every GET answers HEAD too.
func (p *Portal) routes() []route {
	list := []route{
		{"GET", "/", visitor, p.home},
		{"GET", "/sign-in", visitor, p.signInForm},
		{"POST", "/sign-in", visitor, p.signIn},
		{"POST", "/sign-out", member, p.signOut},
		{"POST", "/theme", member, p.theme},
		{"GET", "/apis", member, p.catalogue},
		{"GET", "/apis/:api/:version", member, p.reference},
		{"GET", "/apis/:api/:version/openapi.json", member, p.document}, // before the operation of that name
		{"GET", "/apis/:api/:version/:operation", member, p.reference},
		{"GET", "/calls", member, p.calls},
		{"GET", "/calls/:id", member, p.call},
		{"GET", "/problems", visitor, p.problems},
		{"GET", "/problems/:code", visitor, p.problem},
		{"GET", "/static/:name", anyone, p.static},
	}
	if p.Styleguide {
		list = append(list, route{"GET", "/styleguide", visitor, p.styleguide})
	}
	return list
}
