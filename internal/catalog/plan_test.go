package catalog

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func planned(text string) map[string]string {
	return with(map[string]string{"policies/plans/p.yaml": "kind: plan\nschema: 1\nname: P\n" + text})
}

func TestPlan(t *testing.T) {
	t.Parallel()
	snap, problems := Load(sources(planned(`limits:
  - {name: burst, rate: 10, per: 1s, burst: 20}
  - {name: watched, rate: 1, per: 1s, burst: 3, shadow: true}
quotas:
  - {name: daily, per: day, limit: 100, zone: America/Chicago}
  - {name: monthly, per: month, limit: 2000, shadow: true}
concurrency: {limit: 8, shadow: true}
operations:
  createThing: {cost: 2}
  v1/getThing: {limits: [{name: reads, rate: 5, per: 1s, burst: 5}]}
  getThing: {cost: 3}
`)))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	p := snap.Plans["p"]
	if p.Concurrency != 8 || !p.ConcurrencyShadow || len(p.Quotas) != 2 || p.Quotas[0].Zone.String() != "America/Chicago" || p.Quotas[0].Month ||
		!p.Quotas[1].Month || !p.Quotas[1].Shadow || p.Quotas[1].Zone != time.UTC || !p.Limits[1].Shadow {
		t.Errorf("plan %+v", p)
	}
	type charge struct {
		Limits, Bucket string
		Cost           int
	}
	got := map[string]charge{}
	for _, a := range snap.APIs {
		for _, v := range a.Versions {
			for _, r := range v.Routes {
				limits, cost, bucket := p.Charge(r)
				names := ""
				for _, l := range limits {
					names += l.Name + " "
				}
				got[r.ID] = charge{names, bucket, cost}
			}
		}
	}
	want := map[string]charge{"things/v1/createThing": {"burst watched ", "", 2}, "things/v1/getThing": {"reads ", "things/v1/getThing", 1},
		"things/v2/getThing": {"burst watched ", "", 3}, "things/v2/me": {"burst watched ", "", 1}}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("charges (-want +got):\n%s", d)
	}
}

func TestPlanProblems(t *testing.T) {
	t.Parallel()
	const burst = "limits: [{name: burst, rate: 10, per: 1s, burst: 20}]\n"
	for name, tt := range map[string]struct {
		plan string
		want []string
	}{
		"name in a header":           {strings.Replace(burst, "name: burst", `name: "bur\"st"`, 1), []string{":4: every limit needs its own name"}},
		"name of concurrency":        {strings.Replace(burst, "name: burst", "name: concurrency", 1), []string{":4: every limit needs its own name"}},
		"period":                     {burst + "quotas:\n  - {name: weekly, per: week, limit: 100}\n", []string{`:6: quotas.per is "week": use day or month`}},
		"zone":                       {burst + "quotas:\n  - {name: daily, per: day, limit: 100, zone: Chicago}\n", []string{`:6: quotas.zone "Chicago" is not a time zone`}},
		"the machine's zone":         {burst + "quotas:\n  - {name: daily, per: day, limit: 100, zone: Local}\n", []string{`:6: quotas.zone "Local"`}},
		"quota of nothing":           {burst + "quotas:\n  - {name: daily, per: day}\n", []string{":6: every quota needs"}},
		"quota twice":                {burst + "quotas:\n  - {name: daily, per: day, limit: 100}\n  - {name: daily, per: month, limit: 100}\n", []string{":7: every quota needs"}},
		"quota called like a limit":  {burst + "quotas:\n  - {name: burst, per: day, limit: 100}\n", []string{":4: every limit needs its own name"}},
		"concurrency of nothing":     {burst + "concurrency: {limit: 0}\n", []string{":5: concurrency needs a limit above zero"}},
		"concurrency without":        {burst + "concurrency: {shadow: true}\n", []string{":5: concurrency needs a limit above zero"}},
		"operation in no contract":   {burst + "operations:\n  getThing: {cost: 2}\n  getThings: {cost: 2}\n", []string{`:7: operations: "getThings" is in no contract`}},
		"operation cost below zero":  {burst + "operations:\n  getThing: {cost: -2}\n", []string{":6: operations.getThing.cost is below zero"}},
		"operation limit":            {burst + "operations:\n  getThing:\n    limits:\n      - {name: own, rate: 0, per: 1s, burst: 5}\n", []string{":8: every limit needs its own name"}},
		"cost beyond a burst":        {"limits:\n  - {name: wide, rate: 1, per: 1s, burst: 9}\n  - {name: tight, rate: 1, per: 1s, burst: 2}\n", []string{`:6: limit "tight": its burst of 2 is below the cost 3 of operation "things/v1/createThing", which could never be called`}},
		"own cost beyond a burst":    {burst + "operations:\n  v1/getThing: {cost: 21}\n", []string{`:4: limit "burst": its burst of 20 is below the cost 21 of operation "things/v1/getThing"`}},
		"own cost beyond own burst":  {burst + "operations:\n  v1/getThing:\n    cost: 5\n    limits:\n      - {name: own, rate: 1, per: 1s, burst: 4}\n", []string{`:9: limit "own": its burst of 4 is below the cost 5 of operation "things/v1/getThing"`}},
		"cost beyond a quota":        {burst + "operations:\n  v1/getThing: {cost: 5}\nquotas:\n  - {name: daily, per: day, limit: 4}\n", []string{`:8: quota "daily": its limit of 4 is below the cost 5 of operation "things/v1/getThing"`}},
		"everything at once":         {"limits: [{name: a, rate: 0, per: 1s, burst: 1}]\nquotas: [{name: b, per: year, limit: 0}]\nconcurrency: {limit: -1}\noperations: {nothing: {cost: -1}}\n", []string{":4: ", ":5: every", ":5: quotas.per", ":6: ", ":7: operations.nothing.cost", ":7: operations: \"nothing\""}},
		"work under way and a quota": {burst + "quotas:\n  - {name: daily, per: day, limit: 2}\n", nil}, // createThing costs 3 and is in flight
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, problems := Load(sources(planned(tt.plan)))
			if len(problems) != len(tt.want) {
				t.Errorf("%d problems, want %d:\n%v", len(problems), len(tt.want), problems)
			}
			for _, w := range tt.want {
				if !strings.Contains(problems.Error(), "policies/plans/p.yaml"+w) {
					t.Errorf("nothing says %q in\n%v", w, problems)
				}
			}
		})
	}
}

func TestQuotaWindow(t *testing.T) {
	t.Parallel()
	chicago, err := time.LoadLocation("America/Chicago")
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		q               Quota
		now, start, end string
	}{
		"a day in UTC":            {Quota{Zone: time.UTC}, "2026-11-25T23:59:59Z", "2026-11-25T00:00:00Z", "2026-11-26T00:00:00Z"},
		"a day begins":            {Quota{Zone: time.UTC}, "2026-11-25T00:00:00Z", "2026-11-25T00:00:00Z", "2026-11-26T00:00:00Z"},
		"a day in Chicago":        {Quota{Zone: chicago}, "2026-11-25T05:59:59Z", "2026-11-24T06:00:00Z", "2026-11-25T06:00:00Z"},
		"clocks go back: 25 h":    {Quota{Zone: chicago}, "2026-11-01T12:00:00Z", "2026-11-01T05:00:00Z", "2026-11-02T06:00:00Z"},
		"clocks go forward: 23 h": {Quota{Zone: chicago}, "2026-03-08T12:00:00Z", "2026-03-08T06:00:00Z", "2026-03-09T05:00:00Z"},
		"a month":                 {Quota{Zone: chicago, Month: true}, "2026-12-31T12:00:00Z", "2026-12-01T06:00:00Z", "2027-01-01T06:00:00Z"},
		"February in a leap year": {Quota{Zone: time.UTC, Month: true}, "2028-02-29T12:00:00Z", "2028-02-01T00:00:00Z", "2028-03-01T00:00:00Z"},
	} {
		now, err := time.Parse(time.RFC3339, tt.now)
		if err != nil {
			t.Fatal(err)
		}
		start, end := tt.q.Window(now)
		if got := start.UTC().Format(time.RFC3339) + " to " + end.UTC().Format(time.RFC3339); got != tt.start+" to "+tt.end {
			t.Errorf("%s: %s", name, got)
		}
	}
}
