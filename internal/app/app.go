// Package app is the running program: its commands, the wiring of all rooms, and their order of start and stop.
package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"portway/internal/app/story"
	"portway/internal/config"
	"portway/internal/ident"
	"portway/internal/partner"
)

// Version is what "portway version" prints.
const Version = "0.1.0"

type commands struct {
	Serve   config.Settings `cmd:"" help:"Run the gateway and the portal."`
	Check   checkCommand    `cmd:"" help:"Check a contract or an installation folder without serving it."`
	Demo    demoCommand     `cmd:"" help:"Play one order against a running portway serve --demo and show each step."`
	Health  healthCommand   `cmd:"" help:"Ask a running portway serve whether it is ready; fails with the reasons when it is not."`
	Key     keyCommand      `cmd:"" help:"Make an API key for a credential of kind api_key. It is shown once; put it where the partner file's key: points, and give it to the partner."`
	Version struct{}        `cmd:"" help:"Print the version."`
}

type checkCommand struct {
	Spec   string   `name:"spec" placeholder:"FILE" help:"An OpenAPI 3.x or Swagger 2.0 document."`
	Ref    []string `name:"ref" placeholder:"URL=FILE" help:"Offline copy of a document that --spec refers to; repeatable."`
	Config string   `name:"config" placeholder:"DIR" help:"An installation folder with specs/ and policies/."`
}

type demoCommand struct {
	ReadyFile string `name:"ready-file" default:"./data/ready.json" placeholder:"PATH" help:"The ready file of the running program."`
}

// sameSignal is how close two signals are one.
const sameSignal = 500 * time.Millisecond

// gcPercent lets the heap grow to three times what lives before it is collected: what lives is small, and a gateway's
// garbage is many short calls. GOGC in the environment wins.
const gcPercent = 200

// errReported is an error that was already reported in full.
var errReported = errors.New("failed")

// Main runs the program and returns its exit code: 0 done, 1 failed. Problems go to stderr, one line each.
func Main(args []string, stdout, stderr io.Writer) int {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	go func() {
		<-signals
		first := time.Now()
		cancel()
		for range signals {
			// Whoever says it twice does not want to wait; what was acknowledged is on disk. Some tools signal a process
			// and its group, which is once.
			if time.Since(first) > sameSignal {
				fmt.Fprintln(stderr, "portway: a second signal: ended at once")
				os.Exit(1)
			}
		}
	}()
	return Run(ctx, args, os.LookupEnv, stdout, stderr)
}

// Run is Main with its context and environment given: two of them live side by side in one process.
func Run(ctx context.Context, args []string, lookup func(string) (string, bool), stdout, stderr io.Writer) int {
	err := run(ctx, args, lookup, stdout, stderr)
	if err == nil {
		return 0
	}
	if !errors.Is(err, errReported) {
		for _, line := range strings.Split(strings.TrimRight(err.Error(), "\n"), "\n") {
			fmt.Fprintln(stderr, "portway: "+line)
		}
	}
	return 1
}

// exited carries the code kong wants to leave with after printing help.
type exited int

func run(ctx context.Context, args []string, lookup func(string) (string, bool), stdout, stderr io.Writer) (err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case exited:
			if r != 0 {
				err = errReported
			}
		default:
			panic(r)
		}
	}()
	var c commands
	parser, err := kong.New(&c, kong.Name("portway"),
		kong.Description("The governed place between your systems and the companies that move your goods. "+
			"Every flag of serve is also an environment variable (--data is PORTWAY_DATA) and a key of portway.yaml in the --config folder."),
		kong.Writers(stdout, stderr), kong.Exit(func(code int) { panic(exited(code)) }),
		kong.Resolvers(environment(lookup)), kong.UsageOnError())
	if err != nil {
		return err
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		return err
	}
	getenv := func(name string) string { v, _ := lookup(name); return v }
	switch parsed.Command() {
	case "serve":
		return serve(ctx, &c.Serve, getenv, stdout, stderr)
	case "check":
		return check(&c.Check, stdout)
	case "demo":
		return story.Play(ctx, c.Demo.ReadyFile, ident.System{}, stdout)
	case "health":
		return health(ctx, &c.Health, stdout)
	case "key":
		fmt.Fprintln(stdout, partner.NewAPIKey(c.Key.Environment))
	case "version":
		fmt.Fprintln(stdout, "portway "+Version)
	}
	return nil
}

// environment resolves flags that were not given: from the environment, else from portway.yaml of the
// --config folder.
func environment(lookup func(string) (string, bool)) kong.Resolver {
	var file map[string]string
	var read bool
	return kong.ResolverFunc(func(c *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
		if v, ok := lookup(config.EnvName(flag.Name)); ok {
			return v, nil
		}
		if flag.Name == "help" || flag.Name == "config" {
			return nil, nil
		}
		if !read {
			read = true
			var err error
			if file, err = config.ReadFile(configDir(c, lookup)); err != nil {
				return nil, err
			}
		}
		if v, ok := file[flag.Name]; ok {
			return v, nil
		}
		return nil, nil
	})
}

func configDir(c *kong.Context, lookup func(string) (string, bool)) string {
	for _, f := range c.Flags() {
		if f.Name == "config" {
			if s, ok := c.FlagValue(f).(string); ok && s != "" {
				return s
			}
		}
	}
	v, _ := lookup(config.EnvName("config"))
	return v
}
