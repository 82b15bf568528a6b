package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
)

// report prints the table: a row a gateway, a column a scenario, the median CPU per request and its spread.
func report(out io.Writer, results []*result, names []string) {
	byName := map[string]map[string]*result{}
	var order []string
	for _, r := range results {
		if byName[r.Gateway] == nil {
			byName[r.Gateway] = map[string]*result{}
			order = append(order, r.Gateway)
		}
		byName[r.Gateway][r.Scenario] = r
	}
	fmt.Fprintf(out, "\nCPU µs per request (user + system of the gateway's process), median and range; %s, %d cores\n\n%-16s", runtime.Version(), runtime.NumCPU(), "")
	for _, n := range names {
		fmt.Fprintf(out, "%22s", n)
	}
	fmt.Fprintln(out)
	for _, g := range order {
		fmt.Fprintf(out, "%-16s", g)
		for _, n := range names {
			r := byName[g][n]
			if r == nil || len(r.Runs) == 0 {
				fmt.Fprintf(out, "%22s", "–")
				continue
			}
			low, high := r.spread()
			fmt.Fprintf(out, "%22s", fmt.Sprintf("%.1f (%.1f–%.1f)", r.median().MicrosPerRequest, low, high))
		}
		fmt.Fprintln(out)
	}
	fmt.Fprintf(out, "\nRequests/s on one core, p50 and p99 in ms at %s load, RSS in MB\n", "full")
	for _, r := range results {
		if r.Void != "" {
			if r.Void != "not offered" {
				fmt.Fprintf(out, "  %-16s %-4s void: %s\n", r.Gateway, r.Scenario, r.Void)
			}
			continue
		}
		m := r.median()
		note := ""
		if m.StealPercent > 3 {
			note = fmt.Sprintf("   the host took %.0f %%: run again", m.StealPercent)
		}
		fmt.Fprintf(out, "  %-16s %-4s %8.0f/s   p50 %6.2f   p99 %6.2f   RSS %5.0f%s\n", r.Gateway, r.Scenario, m.PerSecond, m.P50, m.P99, m.RSSMB, note)
	}
	ratios(out, byName, order)
}

// ratios compares with plain proxying of the same method in the same run.
func ratios(out io.Writer, byName map[string]map[string]*result, order []string) {
	plain := byName["nginx (plain)"]
	if plain == nil {
		fmt.Fprintln(out, "\nInstall nginx to have plain proxying in the same run: ratios are what holds from machine to machine.")
		return
	}
	fmt.Fprintln(out, "\nRatio to plain proxying in this run (S scenarios that GET to S0, those that POST to P0)")
	for _, g := range order {
		if g == "nginx (plain)" {
			continue
		}
		for name, r := range byName[g] {
			base := plain["S0"]
			if scenarios[name].post {
				base = plain["P0"]
			}
			if base == nil || len(base.Runs) == 0 || len(r.Runs) == 0 {
				continue
			}
			fmt.Fprintf(out, "  %-16s %-4s %5.2f ×\n", g, name, r.median().MicrosPerRequest/base.median().MicrosPerRequest)
		}
	}
}

func writeJSON(file string, results []*result) error {
	b, err := json.MarshalIndent(results, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(b, '\n'), 0o600)
}
