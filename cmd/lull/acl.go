package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"lull/pipeline"
	"lull/pipeline/security"
)

// aclFlags are the flags of acl print.
type aclFlags struct {
	principal, subscriber, subscriberGroup string
	format, cluster                        string
	roles                                  []string
}

func newACLCommand() *cobra.Command {
	var f aclFlags
	cmd := &cobra.Command{
		Use:   "print --config FILE",
		Short: "Print the least rights that this application needs on the brokers",
		Long: `Print tells which rights the brokers must grant, as access control lists of Kafka: for lull run, for lull topics apply, for the
other commands, and for whoever reads the outputs. Everything is named in full, but for the transactional ids of processes,
which begin with the group's name and end with that of the process. It asks no broker: under whose name lull comes is what the settings log in
as, or --principal. Of a certificate that is the subject, but for brokers with ssl.principal.mapping.rules, which make another. --format strimzi
prints KafkaUsers who log in by SCRAM-SHA-512 instead, for brokers that Strimzi runs in Kubernetes (deploy/strimzi).

The roles are ` + strings.Join(roleNames(), ", ") + `. A deployment needs the first for as
long as it runs, apply once and after an upgrade that brings new topics, the others where somebody does what they are for. reset,
which deletes, is printed only if --for names it.`,
		Example: `  lull acl print --config lull.yaml --for run,apply --principal User:lull | sh
  lull acl print --config lull.yaml --for subscribe --subscriber User:crm --subscriber-group crm-triggers
  lull acl print --config lull.yaml --for run,apply --format strimzi --cluster my-cluster | kubectl apply -f -`,
		Args: cobra.NoArgs,
		RunE: running(func(cmd *cobra.Command, _ []string) error {
			s, err := loadSettings(cmd.Flags(), os.Environ())
			if err != nil {
				return err
			}
			f.setPrincipal(cmd, &s)
			roles, err := f.check(&s)
			if err != nil {
				return usageError{err}
			}
			switch f.format {
			case "json":
				return f.printJSON(cmd.OutOrStdout(), roles)
			case strimziFormat:
				return f.printUsers(cmd.OutOrStdout(), &s, roles)
			}
			return f.printCommands(cmd.OutOrStdout(), &s, roles)
		}),
	}
	cmd.Flags().StringVar(&f.principal, "principal", "", "whom the brokers know lull as: `TYPE:NAME` (default whom the settings log in as, User:lull if they do not say)")
	cmd.Flags().StringVar(&f.subscriber, "subscriber", "User:subscriber", "whom the brokers know a reader of the outputs as: `TYPE:NAME`")
	cmd.Flags().StringVar(&f.subscriberGroup, "subscriber-group", "", "consumer `group` of that reader (default its NAME)")
	cmd.Flags().StringVar(&f.format, "format", "kafka-acls", "kafka-acls: commands for a shell; json; or strimzi: objects for Kubernetes")
	addStrimziCluster(cmd, &f.cluster)
	cmd.Flags().StringSliceVar(&f.roles, "for", slices.DeleteFunc(roleNames(), func(name string) bool { return name == "reset" }), "`roles` to print")
	addSettingFlags(cmd, "brokers", "prefix", "group", "input.topic", "fit.mode")
	return newGroup("acl", "Rights on the brokers", cmd)
}

func roleNames() (names []string) {
	defaults := pipeline.DefaultSettings()
	for _, role := range defaults.Roles("") {
		names = append(names, role.Name)
	}
	return names
}

// setPrincipal takes whom the settings log in as, if the flag names nobody, and says where the brokers may know another.
func (f *aclFlags) setPrincipal(cmd *cobra.Command, s *pipeline.Settings) {
	if f.principal != "" {
		return
	}
	name, subject := s.Security.Principal()
	switch {
	case name == "":
		fmt.Fprintln(cmd.ErrOrStderr(), "lull: brokers take the name from the token, or from a certificate that cannot be read here: give it by --principal")
	case subject:
		fmt.Fprintf(cmd.ErrOrStderr(), "lull: brokers with ssl.principal.mapping.rules make another name of a certificate than its subject, %s: give that by --principal\n", quote(name))
	}
	if f.principal = name; name == "" || name == security.Anonymous {
		f.principal = "User:lull"
	}
}

// check returns the roles that are asked for.
func (f *aclFlags) check(s *pipeline.Settings) (roles []pipeline.Role, err error) {
	for _, flag := range []struct{ name, value string }{{"--principal", f.principal}, {"--subscriber", f.subscriber}} {
		if kind, name, ok := strings.Cut(flag.value, ":"); !ok || kind == "" || name == "" {
			return nil, fmt.Errorf("%s is %q: it must be TYPE:NAME, such as User:lull", flag.name, flag.value)
		}
	}
	switch {
	case s.Input.Topic == "" && !s.Staged():
		return nil, fmt.Errorf(`input.topic is "": it must be the name of the topic with the events`)
	case f.format != "kafka-acls" && f.format != "json" && f.format != strimziFormat:
		return nil, fmt.Errorf("--format is %q: it must be kafka-acls, json or strimzi", f.format)
	}
	for _, flag := range []struct{ name, value string }{{"--principal", f.principal}, {"--subscriber", f.subscriber}} {
		if f.format == strimziFormat && !strimziUserName.MatchString(flag.value) {
			return nil, fmt.Errorf("%s is %q: Strimzi makes users whose names are those of objects: it must be User:NAME, of small letters, digits, dots and hyphens", flag.name, flag.value)
		}
	}
	for _, name := range f.roles {
		if !slices.Contains(roleNames(), name) {
			return nil, fmt.Errorf("--for is %q: it must be a list of %s", name, strings.Join(roleNames(), ", "))
		}
	}
	group := f.subscriberGroup
	if group == "" {
		_, group, _ = strings.Cut(f.subscriber, ":")
	}
	return slices.DeleteFunc(s.Roles(group), func(r pipeline.Role) bool { return !slices.Contains(f.roles, r.Name) }), nil
}

func (f *aclFlags) principalOf(role pipeline.Role) string {
	if role.Subscriber {
		return f.subscriber
	}
	return f.principal
}

// printCommands prints a command for every resource.
func (f *aclFlags) printCommands(w io.Writer, s *pipeline.Settings, roles []pipeline.Role) error {
	p := printer{w: w}
	resourceFlags := map[string]string{"Topic": "--topic", "Group": "--group", "TransactionalId": "--transactional-id"}
	if s.Security.Secured() {
		p.line("# %s: how somebody who may grant rights reaches these brokers, in the words of Kafka's tools: security.protocol, sasl.mechanism, sasl.jaas.config, ssl.truststore.location", adminConfig)
		p.line("")
	}
	for i, role := range roles {
		if i > 0 {
			p.line("")
		}
		p.line("# %s: %s", role.Name, role.Purpose)
		for _, right := range role.Rights {
			words := []string{"kafka-acls", "--bootstrap-server", quote(strings.Join(s.Brokers, ","))}
			if s.Security.Secured() {
				words = append(words, "--command-config", adminConfig)
			}
			words = append(words, "--add", "--allow-principal", quote(f.principalOf(role)))
			for _, operation := range right.Operations {
				words = append(words, "--operation", operation)
			}
			words = append(words, resourceFlags[right.Resource], quote(right.Name))
			if right.Prefixed {
				words = append(words, "--resource-pattern-type", "prefixed")
			}
			p.line("%s", strings.Join(words, " "))
		}
	}
	return p.err
}

// adminConfig is the file by which Kafka's tools log in.
const adminConfig = "admin.properties"

// strimziFormat is that of objects for Kubernetes, of which Strimzi makes topics and users.
const strimziFormat = "strimzi"

// strimziUserName matches principals that Strimzi can make.
var strimziUserName = regexp.MustCompile(`^User:[a-z0-9]([a-z0-9.-]*[a-z0-9])?$`)

func addStrimziCluster(cmd *cobra.Command, cluster *string) {
	cmd.Flags().StringVar(cluster, "cluster", "my-cluster", "`name` of the Kafka object whose brokers Strimzi runs")
}

// printUsers prints an object for each principal.
func (f *aclFlags) printUsers(w io.Writer, s *pipeline.Settings, roles []pipeline.Role) error {
	var names []string
	byName := make(map[string][]pipeline.Role)
	for _, role := range roles {
		_, name, _ := strings.Cut(f.principalOf(role), ":")
		if byName[name] == nil {
			names = append(names, name)
		}
		byName[name] = append(byName[name], role)
	}
	for i, name := range names {
		text, err := s.UserManifest(f.cluster, name, byName[name])
		if err != nil {
			return err
		}
		if i > 0 {
			text = append([]byte("---\n"), text...)
		}
		if _, err := w.Write(text); err != nil {
			return err
		}
	}
	return nil
}

// quote returns a word as a shell takes it.
func quote(word string) string { return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'" }

// aclEntry is an access control list's entry as Kafka has it.
type aclEntry struct {
	Role         string `json:"role"`
	Principal    string `json:"principal"`
	Host         string `json:"host"`
	ResourceType string `json:"resource_type"`
	ResourceName string `json:"resource_name"`
	PatternType  string `json:"pattern_type"`
	Operation    string `json:"operation"`
	Permission   string `json:"permission"`
}

// printJSON prints an object for every operation on every resource.
func (f *aclFlags) printJSON(w io.Writer, roles []pipeline.Role) error {
	entries := []aclEntry{}
	for _, role := range roles {
		for _, right := range role.Rights {
			e := aclEntry{
				Role: role.Name, Principal: f.principalOf(role), Host: "*", ResourceType: right.Resource, ResourceName: right.Name, PatternType: "Literal", Permission: "Allow",
			}
			if right.Prefixed {
				e.PatternType = "Prefixed"
			}
			for _, operation := range right.Operations {
				e.Operation = operation
				entries = append(entries, e)
			}
		}
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(entries)
}
