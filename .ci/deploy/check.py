"""Holds what operators install against the formats' own tools, and the settings in it against the binary that reads them.

Run by make check-deploy, which builds the binary and installs the tools. What is proved stands at each check; the first that fails ends it.
"""

import argparse
import contextlib
import errno
import json
import mmap
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import urllib.error
import urllib.request

import jsonschema
import kubernetes_validate
import pyseccomp
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

DEPLOY = pathlib.Path("deploy")
CHART = DEPLOY / "helm" / "lull"
# The oldest Kubernetes that the chart takes, and the newest that the schemas know: what is right for both is right between them.
KUBERNETES = {"oldest": "1.27", "newest": "1.37"}
# Kinds of the Prometheus Operator, whose schemas are not Kubernetes's own, and the files of their definitions.
FOREIGN = {"ServiceMonitor": "monitoring.coreos.com_servicemonitors.yaml", "PrometheusRule": "monitoring.coreos.com_prometheusrules.yaml"}
# systemd-analyze security: 0 is nothing exposed, 100 everything. 12 is what is left to a process that needs the network.
EXPOSURE_MAX = 15


def run(*command, **options):
    """Runs a command and returns what it prints; ends the check if it fails."""
    done = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
    if done.returncode != 0:
        sys.exit(f"{' '.join(str(c) for c in command)}: exit code {done.returncode}\n{done.stdout}")
    return done.stdout


def refuses(what, *command, says, **options):
    """Requires that a command fails and says a text: a check that cannot fail proves nothing."""
    done = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
    if done.returncode == 0 or says not in done.stdout:
        sys.exit(f"{what} should be refused with {says!r}: exit code {done.returncode}\n{done.stdout}")


def expect(holds, message):
    if not holds:
        sys.exit(message)


def validate_settings(lull, env, folder):
    """lull takes these settings: lull.yaml of the folder, all that it names, and every variable. Those that name files get files: a certificate, its key, a
    password, or tokens."""
    with tempfile.TemporaryDirectory() as name:
        certificate, key, password = (f"{name}/{file}" for file in ["certificate", "key", "password"])
        if any(variable.endswith(("_CA_FILE", "_CERT_FILE")) for variable in env):
            run("openssl", "req", "-x509", "-newkey", "ed25519", "-nodes", "-subj", "/CN=lull", "-keyout", key, "-out", certificate)
        pathlib.Path(password).write_text("secret\n")
        tokens = f"{name}/tokens"
        pathlib.Path(tokens).write_text(32 * "t" + "\n")
        files = {"_CA_FILE": certificate, "_CERT_FILE": certificate, "_KEY_FILE": key, "_PASSWORD_FILE": password, "_TOKENS_FILE": tokens}
        env = {v: next((file for end, file in files.items() if v.endswith(end)), value) for v, value in env.items()}
        run(lull, "config", "validate", env={**env, "LULL_CONFIG": str(folder / "lull.yaml")})


def closed(schema):
    """The schema, in which objects have no fields but those that it names, and none that is deprecated."""
    if "properties" in schema and not schema.get("x-kubernetes-preserve-unknown-fields"):
        kept = {name: closed(of) for name, of in schema["properties"].items() if "deprecated" not in of.get("description", "").lower()}
        return {**schema, "properties": kept, "additionalProperties": False}
    if "items" in schema:
        return {**schema, "items": closed(schema["items"])}
    return schema


def definition(file, name):
    """The apiVersion of a CustomResourceDefinition's version of that name, and what holds the specifications of its objects against it."""
    crd = yaml.safe_load(file.read_text())["spec"]
    schema = next(v for v in crd["versions"] if v["name"] == name)["schema"]["openAPIV3Schema"]
    return f"{crd['group']}/{name}", jsonschema.Draft202012Validator(closed(schema["properties"]["spec"]))


# --- the image --------------------------------------------------------------------------------


def check_image(lull, tools):
    """The Dockerfile passes hadolint, and its binary needs no library: the base image has none."""
    run(tools / "bin" / "hadolint", DEPLOY / "Dockerfile")
    done = subprocess.run(["ldd", lull], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    expect("not a dynamic executable" in done.stdout, f"{lull} is not static: {done.stdout}")


def sandbox(root, state, user, *options):
    """The beginning of a command that runs as a user without rights, with the files of an image, which are read-only, and its state."""
    become = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"] if os.getuid() == 0 else []
    return become + [
        *("bwrap", "--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--die-with-parent"),
        *("--uid", str(user), "--gid", str(user), "--cap-drop", "ALL", "--clearenv"),
        *("--ro-bind", str(root), "/", "--bind", str(state), "/var/lib/lull", "--proc", "/proc", "--dev", "/dev", *options, "--remount-ro", "/"),
    ]


@contextlib.contextmanager
def image(lull, user):
    """The files that the image has, in a folder, with the settings of compose beside them."""
    with tempfile.TemporaryDirectory() as name:
        root = pathlib.Path(name) / "image"
        for folder in ["usr/local/bin", "etc/lull", "var/lib/lull", "proc", "dev", "tmp"]:
            (root / folder).mkdir(parents=True)
        shutil.copy(lull, root / "usr/local/bin/lull")
        (root / "etc/lull/lull.yaml").write_text("brokers: ['127.0.0.1:1']\ninput: {topic: shop}\n")
        state = pathlib.Path(name) / "state"
        state.mkdir()
        if os.getuid() == 0:
            os.chown(state, user, user)
        os.chmod(name, 0o755)
        yield root, state


def check_confined(lull):
    """The binary runs as process 1 and user 65532, in a file system that is read-only but for the state, with nothing else in it; it answers /livez, says on
    /readyz what it waits for, and ends by SIGTERM with 0."""
    with image(lull, 65532) as (root, state):
        told, tell = os.pipe()
        command = [
            *sandbox(root, state, 65532, "--as-pid-1", "--info-fd", str(tell)),
            *("--setenv", "LULL_CONFIG", "/etc/lull/lull.yaml", "--setenv", "LULL_INSTANCE", "lull-0", "--setenv", "LULL_STATE_DIR", "/var/lib/lull"),
            *("--setenv", "LULL_HTTP_LISTEN", "127.0.0.1:0"),
            *("/usr/local/bin/lull", "run"),
        ]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, pass_fds=[tell])
        os.close(tell)
        log = []
        try:
            for line in process.stderr:
                log.append(line)
                if '"listening"' in line:
                    break
            expect(log and '"listening"' in log[-1], f"lull run did not begin to listen:\n{''.join(log)}")
            address = json.loads(log[-1])["address"]
            with urllib.request.urlopen(f"http://{address}/livez", timeout=60) as answer:
                expect(answer.status == 200, f"/livez: {answer.status}")
            try:
                urllib.request.urlopen(f"http://{address}/readyz", timeout=60)
                sys.exit("/readyz says ready without a broker")
            except urllib.error.HTTPError as refused:
                expect(refused.code == 503, f"/readyz: {refused.code}")
                expect(json.load(refused)["problems"], "/readyz does not say what is wrong")
            with os.fdopen(told) as info:
                os.kill(json.loads(info.read())["child-pid"], signal.SIGTERM)
            log += process.stderr
            expect(process.wait() == 0, f"SIGTERM: exit code {process.returncode}\n{''.join(log)}")
        finally:
            if process.poll() is None:
                process.kill()


# --- compose ----------------------------------------------------------------------------------


def check_compose(lull, compose):
    """The loader of the Compose Specification takes the file, and lull the settings and variables in it. Each process has a name, a disk and a port of its own, and Prometheus scrapes them all."""
    folder = DEPLOY / "compose"
    project = yaml.safe_load(run(compose, "compose.yaml", cwd=folder))
    processes = sorted(name for name in project["services"] if name.startswith("lull-"))
    for name in ["topics", *processes]:
        service = project["services"][name]
        expect(service["read_only"] and service["user"] == "65532:65532" and service["cap_drop"] == ["ALL"], f"compose: {name} has rights that it does not need")
        validate_settings(lull, service["environment"], folder)
    services = [project["services"][name] for name in processes]
    expect([s["environment"]["LULL_INSTANCE"] for s in services] == processes, "compose: an instance is not the service's name")
    for of in [lambda s: s["environment"]["LULL_HTTP_ADVERTISE"], lambda s: s["volumes"][0]["source"], lambda s: s["ports"][0]["published"]]:
        expect(len({of(s) for s in services}) == len(services), f"compose: {[of(s) for s in services]} are not each its own")
    addresses = [s["environment"]["LULL_HTTP_ADVERTISE"] for s in services]
    scraped = yaml.safe_load((folder / "prometheus.yaml").read_text())["scrape_configs"][0]["static_configs"][0]["targets"]
    expect(scraped == addresses == [f"{name}:8280" for name in processes], f"compose: Prometheus scrapes {scraped}, the processes are {addresses}")


# --- systemd ----------------------------------------------------------------------------------


def check_systemd(lull):
    """systemd takes the unit without a word, finds it hardened, and lull takes the variables in it."""
    text = (DEPLOY / "systemd" / "lull.service").read_text()
    with tempfile.TemporaryDirectory() as name:
        unit = pathlib.Path(name) / "lull.service"
        here = text.replace("/usr/local/bin/lull", str(lull.resolve()))

        def complaints(of):
            unit.write_text(of)
            return run("systemd-analyze", "verify", "--man=no", unit)

        expect(complaints(here) == "", f"systemd-analyze verify: {complaints(here)}")
        expect("Unknown key" in complaints(here.replace("TimeoutStopSec", "TimeoutStop")), "systemd-analyze verify lets an unknown key pass")
        unit.write_text(text)
        run("systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSURE_MAX}", unit)
    variables = lambda of: dict(re.findall(r"(?m)^Environment=(\w+)=(.*)$", of))
    expect("LULL_INSTANCE" in variables(text), "the unit names no instance")
    validate_settings(lull, variables(text), DEPLOY)
    whole = variables(re.sub(r"(?m)^#(?=[A-Z]\w+=)", "", text))
    expect("LULL_SECURITY_SASL_PASSWORD_FILE" in whole, "what is commented out in the unit has not been found")
    validate_settings(lull, {**whole, "LULL_SECURITY_SASL_MECHANISM": "PLAIN", "LULL_SECURITY_SASL_USERNAME": "lull"}, DEPLOY)


def calls(of):
    """The system calls of a set of systemd's, or the one of that name."""
    if not of.startswith("@"):
        return {of}
    lines = (line.strip() for line in run("systemd-analyze", "syscall-filter", of).splitlines()[1:])
    return set().union(*(calls(line) for line in lines if line and not line.startswith("#")))


def unit_filter(text):
    """The system calls that the unit leaves to the process, as a program for the kernel: systemd's sets, families of addresses, and no memory that is written and run."""
    allowed = set()
    for line in re.findall(r"(?m)^SystemCallFilter=(.*)$", text):
        named = set().union(*(calls(of) for of in line.lstrip("~").split()))
        allowed = allowed - named if line.startswith("~") else allowed | named
    filtered = pyseccomp.SyscallFilter(pyseccomp.ERRNO(getattr(errno, re.search(r"(?m)^SystemCallErrorNumber=(.*)$", text)[1])))
    write, execute = mmap.PROT_WRITE, mmap.PROT_EXEC
    expect("\nMemoryDenyWriteExecute=yes\n" in text, "the unit lets memory be written and run")
    rules = {
        "socket": [pyseccomp.Arg(0, pyseccomp.EQ, getattr(socket, f)) for f in re.search(r"(?m)^RestrictAddressFamilies=(.*)$", text)[1].split()],
        "mmap": [pyseccomp.Arg(2, pyseccomp.MASKED_EQ, write | execute, bits) for bits in (0, write, execute)],
        "mprotect": [pyseccomp.Arg(2, pyseccomp.MASKED_EQ, execute, 0)],
        "pkey_mprotect": [pyseccomp.Arg(2, pyseccomp.MASKED_EQ, execute, 0)],
    }
    for name in sorted(allowed):
        with contextlib.suppress(OSError):  # the kernel of this machine may lack it
            for rule in rules.get(name, [None]):
                filtered.add_rule(pyseccomp.ALLOW, name, *([rule] if rule else []))
    return filtered


def check_unit_confined(lull):
    """The demo, a broker and the pipeline in two processes of which one is killed, does all its work with what the unit leaves to a process: a user of its own, the
    state and a /tmp to write to and nothing else, and its system calls. With families of addresses that it does not need it does nothing."""
    text = (DEPLOY / "systemd" / "lull.service").read_text()
    user = 61184  # the first of those that DynamicUser takes
    with image(lull, user) as (root, state):
        for name, unit in [("all", text), ("none", re.sub(r"(?m)^RestrictAddressFamilies=.*$", "RestrictAddressFamilies=AF_UNIX", text))]:
            with tempfile.TemporaryFile() as program:
                unit_filter(unit).export_bpf(program)
                program.seek(0)
                command = [*sandbox(root, state, user, "--tmpfs", "/tmp", "--setenv", "TMPDIR", "/tmp", "--seccomp", str(program.fileno()))]
                command += ["/usr/local/bin/lull", "demo", "--dir", f"/var/lib/lull/{name}", "--kill", "1", "--seed", "1"]
                if name == "none":
                    refuses("an address of the network", *command, says="operation not permitted", pass_fds=[program.fileno()])
                    continue
                out = run(*command, pass_fds=[program.fileno()])
                expect("digest" in out, f"the demo does not end as it should:\n{out}")


# --- Helm -------------------------------------------------------------------------------------


def check_helm(lull, helm, operator):
    """Helm lints and renders the chart with each of its values; every object fits the schemas of Kubernetes, from the oldest to the newest, or of the Prometheus
    Operator; lull takes the settings, the files beside them, and the variables of every container."""
    values = sorted((CHART / "ci").glob("*.yaml"))
    expect(len(values) >= 3, f"values to check the chart with are missing: {values}")
    kinds = set()
    for file in values:
        run(helm, "lint", "--strict", "--quiet", CHART, "--values", file)
        for version in KUBERNETES.values():
            text = run(helm, "template", "shop", CHART, "--namespace", "data", "--kube-version", version, "--values", file)
            objects = [o for o in yaml.safe_load_all(text) if o]
            kinds |= {o["kind"] for o in objects}
            for o in objects:
                fits(o, version, operator, f"{file} on Kubernetes {version}")
            check_objects(lull, objects, file)
    missing = {"StatefulSet", "Service", "ConfigMap", "ServiceAccount", "PodDisruptionBudget", "NetworkPolicy", "Job", "Pod"} | FOREIGN.keys()
    expect(missing <= kinds, f"no values render {missing - kinds}")
    for what, setting, says in [
        ("a value that the chart does not know", "replica=2", "replica"),
        ("an instance for all processes", "config.instance=lull-0", "instance"),
        ("a file in the place of the settings", "files.lull\\.yaml=x", "lull.yaml"),
        ("no process", "replicas=-1", "replicas"),
    ]:
        refuses(what, helm, "template", "shop", CHART, "--values", values[0], "--set", setting, says=says)
    refuses("no broker", helm, "template", "shop", CHART, says="brokers")


def fits(o, version, operator, where):
    """The object has the fields and values that the schemas of its kind take: those of Kubernetes, or of the Prometheus Operator."""
    if o["kind"] not in FOREIGN:
        try:
            kubernetes_validate.validate(o, version, strict=True)
        except kubernetes_validate.ValidationError as wrong:
            sys.exit(f"{where}: {o['kind']} {o['metadata']['name']}: {wrong}")
        return
    api_version, validator = definition(operator / FOREIGN[o["kind"]], "v1")
    expect(o["apiVersion"] == api_version, f"{where}: {o['kind']} of {o['apiVersion']}, not {api_version}")
    for error in validator.iter_errors(o["spec"]):
        sys.exit(f"{where}: {o['kind']} {o['metadata']['name']}: {error.json_path}: {error.message}")
    expect(not validator.is_valid({**o["spec"], "endpoint": []}), f"the definition of {o['kind']} takes what it does not know")


def pod_of(o):
    """The specification of the pod that an object makes, or None."""
    if o["kind"] == "Pod":
        return o["spec"]
    return o["spec"]["template"]["spec"] if o["kind"] in ("StatefulSet", "Job") else None


def check_objects(lull, objects, file):
    """What schemas cannot see: that the objects fit each other."""
    one = lambda kind: next((o for o in objects if o["kind"] == kind), None)
    stateful = one("StatefulSet")
    labels = stateful["spec"]["template"]["metadata"]["labels"].items()
    selectors = [stateful["spec"]["selector"]["matchLabels"], one("Service")["spec"]["selector"]]
    selectors += [o["spec"]["selector"]["matchLabels"] for o in objects if o["kind"] == "PodDisruptionBudget"]
    selectors += [o["spec"]["podSelector"]["matchLabels"] for o in objects if o["kind"] == "NetworkPolicy"]
    selectors += [c["labelSelector"]["matchLabels"] for c in pod_of(stateful).get("topologySpreadConstraints", [])]
    for selector in selectors:
        expect(selector.items() <= labels, f"{file}: {selector} does not select the processes")
        for other in objects:
            if other["kind"] in ("Job", "Pod"):
                pod = other["metadata"] if other["kind"] == "Pod" else other["spec"]["template"]["metadata"]
                expect(not selector.items() <= pod["labels"].items(), f"{file}: {selector} selects {other['kind']} {other['metadata']['name']}")
    for o in objects:
        if o["kind"] == "NetworkPolicy":
            peers = [p["podSelector"].get("matchLabels", {}) for p in o["spec"]["ingress"][0]["from"] if p.keys() == {"podSelector"}]
            expect(any(p and p.items() <= labels for p in peers), f"{file}: the processes may not ask one another")
    expect(stateful["spec"]["serviceName"] == one("Service")["metadata"]["name"], f"{file}: the StatefulSet has no Service")
    monitor = one("ServiceMonitor")
    if monitor:
        expect(monitor["spec"]["selector"]["matchLabels"].items() <= one("Service")["metadata"]["labels"].items(), f"{file}: the ServiceMonitor finds no Service")

    container = pod_of(stateful)["containers"][0]
    instance = next(e for e in container["env"] if e["name"] == "LULL_INSTANCE")
    expect(instance["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.name", f"{file}: the instance is not the pod's name")
    state = next(e["value"] for e in container["env"] if e["name"] == "LULL_STATE_DIR")
    expect(any(m["name"] == "state" and m["mountPath"] == state for m in container["volumeMounts"]), f"{file}: {state} is no disk")
    for probe, path in [("livenessProbe", "/livez"), ("readinessProbe", "/readyz")]:
        expect(container[probe]["httpGet"]["path"] == path, f"{file}: {probe}")

    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for key, text in next(o["data"] for o in objects if o["kind"] == "ConfigMap" and not o["metadata"]["name"].endswith("-dashboard")).items():
            (folder / key).write_text(text)
        for o in objects:
            pod = pod_of(o)
            if pod is None:
                continue
            where = f"{file}: {o['kind']} {o['metadata']['name']}"
            container, security = pod["containers"][0], pod["securityContext"]
            expect(security["runAsNonRoot"] and security["seccompProfile"]["type"] == "RuntimeDefault", f"{where}: not confined")
            confined = container["securityContext"]
            expect(confined["readOnlyRootFilesystem"] and not confined["allowPrivilegeEscalation"] and confined["capabilities"]["drop"] == ["ALL"], f"{where}: not confined")
            volumes = {v["name"] for v in pod["volumes"]} | ({"state"} if o["kind"] == "StatefulSet" else set())
            expect({m["name"] for m in container["volumeMounts"]} == volumes, f"{where}: volumes and mounts differ")
            env = {}
            for e in container["env"]:  # a value may name the variables before it, as Kubernetes has it
                env[e["name"]] = re.sub(r"\$\((\w+)\)", lambda m: env.get(m[1], m[0]), e.get("value", "shop-lull-0"))
            for variable, path in env.items():
                if variable.endswith("_FILE"):
                    expect(any(path.startswith(m["mountPath"] + "/") for m in container["volumeMounts"]), f"{where}: nothing is mounted for {variable}, {path}")
            validate_settings(lull, env, folder)


# --- alerts -----------------------------------------------------------------------------------


def check_alerts(helm, promtool):
    """promtool takes the alerts, as they are and as the chart renders them: the same, for its own job and namespace, with the lag and the page of its values."""
    file = CHART / "monitoring" / "alerts.yaml"
    run(promtool, "check", "rules", file)
    refuses("a rule that is none", promtool, "check", "rules", "--lint=none", "/dev/stdin", says="unclosed", input=file.read_text().replace("== 0", "== (0", 1))
    text = run(helm, "template", "shop", CHART, "--namespace", "data", "--kube-version", KUBERNETES["newest"], "--values", CHART / "ci" / "everything.yaml", "--show-only", "templates/prometheusrule.yaml")
    rendered = yaml.safe_load(text)["spec"]
    wanted = file.read_text().replace('lull_input_lag_seconds{job="lull"} > 300', 'lull_input_lag_seconds{job="lull"} > 60')
    wanted = wanted.replace('job="lull"', 'job="shop-lull", namespace="data"').replace("docs/operating/alerts.md", "https://runbooks.example/lull")
    expect(rendered == yaml.safe_load(wanted), f"the chart renders other alerts than {file}:\n{text}")
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as rules:
        yaml.safe_dump(rendered, rules)
        rules.flush()
        run(promtool, "check", "rules", rules.name)


def foreign_fields(known, given, path="dashboard"):
    """The fields of what is given that Grafana's types do not know."""
    pairs = []
    if isinstance(given, dict):
        pairs = [(key, known.get(key) if isinstance(known, dict) else None, value) for key, value in given.items()]
    elif isinstance(given, list) and isinstance(known, list) and len(known) == len(given):
        pairs = list(zip(range(len(given)), known, given))
    elif known != given:
        return [path]
    return [field for key, of_known, value in pairs for field in foreign_fields(of_known, value, f"{path}.{key}")]


def check_dashboard(helm):
    """Grafana's types have every field of the dashboard, and the chart renders it as it is."""
    register_default_plugins()
    given = json.loads((CHART / "monitoring" / "dashboard.json").read_text())
    foreign = lambda of: foreign_fields(json.loads(JSONEncoder().encode(Dashboard.from_json(of))), of)
    expect(not foreign(given), f"Grafana does not know {foreign(given)}")
    expect(foreign({**given, "titel": "x"}) == ["dashboard.titel"], "a field that Grafana does not know passes")
    text = run(helm, "template", "shop", CHART, "--kube-version", KUBERNETES["newest"], "--values", CHART / "ci" / "everything.yaml", "--show-only", "templates/dashboard.yaml")
    rendered = json.loads(yaml.safe_load(text)["data"]["lull.json"])
    expect(rendered == given, f"the chart renders another dashboard:\n{text}")


# --- Strimzi ----------------------------------------------------------------------------------


def check_strimzi(strimzi):
    """Every object has the fields, and the values, that Strimzi's definition of its kind takes. The generator's newest version is v1beta2; v1 is that without what was deprecated."""
    for file, kind in [("topics", "KafkaTopic"), ("users", "KafkaUser")]:
        _, validator = definition(strimzi / f"{kind}.yaml", "v1beta2")
        objects = list(yaml.safe_load_all((DEPLOY / "strimzi" / f"{file}.yaml").read_text()))
        expect(objects, f"deploy/strimzi/{file}.yaml is empty")
        for o in objects:
            expect(o["apiVersion"] == "kafka.strimzi.io/v1" and o["kind"] == kind, f"deploy/strimzi/{file}.yaml: {o['apiVersion']} {o['kind']}")
            expect(re.fullmatch(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?", o["metadata"]["name"]), f"no object can have the name {o['metadata']['name']}")
            for error in validator.iter_errors(o["spec"]):
                sys.exit(f"deploy/strimzi/{file}.yaml: {o['metadata']['name']}: {error.json_path}: {error.message}")
        spec = objects[0]["spec"]
        wrong = [{**spec, "partition": 8}, {**spec, "partitions": 0}] if kind == "KafkaTopic" else [{**spec, "acls": []}, {**spec, "authentication": {"type": "password"}}]
        expect(all(not validator.is_valid(w) for w in wrong), f"the definition of {kind} takes what it does not know")


# --- the page ---------------------------------------------------------------------------------


def check_page(lull, helm, operator):
    """What docs/operating/install.md shows holds: Helm renders its values, to objects as they must be, systemd takes its lines, and its files are there."""
    page = pathlib.Path("docs/operating/install.md").read_text()
    blocks = {of: [textwrap.dedent(b) for b in re.findall(rf"(?ms)^ *```{of}\n(.*?)^ *```$", page)] for of in ["yaml", "ini", ""]}
    expect(len(blocks["yaml"]) >= 2 and len(blocks["ini"]) == 1 and len(blocks[""]) >= 4, f"the page has other blocks: {blocks}")
    with tempfile.TemporaryDirectory() as name:
        values = pathlib.Path(name) / "values.yaml"
        for block in blocks["yaml"]:
            values.write_text(block)
            text = run(helm, "template", "lull", CHART, "--kube-version", KUBERNETES["newest"], "--values", values)
            objects = [o for o in yaml.safe_load_all(text) if o]
            for o in objects:
                fits(o, KUBERNETES["newest"], operator, "values of the page")
            check_objects(lull, objects, "values of the page")
        unit = pathlib.Path(name) / "lull.service"
        unit.write_text((DEPLOY / "systemd" / "lull.service").read_text().replace("/usr/local/bin/lull", str(lull)) + blocks["ini"][0])
        said = run("systemd-analyze", "verify", "--man=no", unit)
        expect(said == "", f"systemd-analyze verify of the page's lines: {said}")
    for block in blocks[""]:
        for path in re.findall(r"(?<!\S)((?:deploy|cmd|docs)/\S+)", block):
            expect(pathlib.Path(path).exists(), f"the page names {path}, which is not there")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lull", type=pathlib.Path, required=True, help="the binary, built as the image's")
    parser.add_argument("--tools", type=pathlib.Path, required=True, help="the environment of requirements.txt")
    parser.add_argument("--compose", type=pathlib.Path, required=True, help="the loader of the Compose Specification")
    parser.add_argument("--helm", type=pathlib.Path, required=True)
    parser.add_argument("--promtool", type=pathlib.Path, required=True)
    parser.add_argument("--strimzi", type=pathlib.Path, required=True, help="the folder with the definitions of Strimzi's objects")
    parser.add_argument("--operator", type=pathlib.Path, required=True, help="the folder with those of the Prometheus Operator's")
    args = parser.parse_args()
    lull = args.lull.resolve()
    check_image(lull, args.tools)
    check_confined(lull)
    check_compose(lull, args.compose.resolve())
    check_systemd(lull)
    check_unit_confined(lull)
    check_helm(lull, args.helm, args.operator)
    check_alerts(args.helm, args.promtool)
    check_dashboard(args.helm)
    check_strimzi(args.strimzi)
    check_page(lull, args.helm, args.operator)
    print("image, compose, systemd, Helm, alerts, dashboard, Strimzi's objects and the page: as they must be")


main()
