package app

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"portway/internal/telemetry"
)

// healthCommand is for images without a shell and for scripts: its setting is that of serve.
type healthCommand struct {
	AdminListen string `name:"admin-listen" placeholder:"HOST:PORT" help:"The admin listener of the running program."`
}

// health asks /readyz of the admin listener.
func health(ctx context.Context, c *healthCommand, out io.Writer) error {
	host, port, err := net.SplitHostPort(c.AdminListen)
	if err != nil {
		return fmt.Errorf("admin-listen: %q is not HOST:PORT: give the one that serve has", c.AdminListen)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+"/readyz", nil)
	if err != nil {
		return fmt.Errorf("health: %w", err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("health: %w", err)
	}
	defer res.Body.Close()
	var ready struct {
		Reasons []telemetry.Reason `json:"reasons"`
	}
	if err := json.NewDecoder(io.LimitReader(res.Body, 1<<20)).Decode(&ready); err != nil {
		return fmt.Errorf("health: what answers at %s is not the admin listener", c.AdminListen)
	}
	if res.StatusCode == http.StatusOK {
		_, err := fmt.Fprintln(out, "ready")
		return err
	}
	for _, r := range ready.Reasons {
		fmt.Fprintf(out, "%s: %s\n", r.Check, r.Reason)
	}
	return fmt.Errorf("health: not ready")
}
