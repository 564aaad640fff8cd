// What no tool of another's checks in deploy/: the walls of the compose file, names and ports that must agree across files,
// and that every metric asked for is one that a running board tells.
// Usage: deploy-check.mjs compose|dashboards|names DIR <compose.json     (the compose file with its variables filled in)
//        deploy-check.mjs metrics DIR <metrics.txt                       (what GET /metrics answered)
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join, normalize, resolve } from "node:path";

const [what, dir] = process.argv.slice(2);
const wrong = [];
const must = (holds, words) => holds || wrong.push(words);
const text = (path) => readFileSync(join(dir, path), "utf8");
// Python's reader comes with docker-compose; Node has none of its own.
const READ = "import json,sys,yaml; json.dump(yaml.safe_load(open(sys.argv[1])), sys.stdout)";
const yaml = (path) => JSON.parse(execFileSync("/usr/bin/python3", ["-c", READ, join(dir, path)], { encoding: "utf8" }));
const dashboards = () => readdirSync(join(dir, "grafana/dashboards")).filter((f) => f.endsWith(".json")).map((f) => [f, JSON.parse(text(`grafana/dashboards/${f}`))]);
const rules = () => ["prometheus/recording.yml", "prometheus/alerts.yml"].flatMap((f) => yaml(f).groups.flatMap((g) => g.rules));
const PINNED = /:[a-z]*\d[\w.-]*\.\d[\w.-]*$/;
/** Services whose image has no program to ask it with; each is watched by an alert instead. */
const WATCHED = { prepare: "ends by itself", loki: "TargetDown" };

/** What keeps Grafana, and the browsers that show it, from asking anybody outside. */
const SILENT = [
  ...["ANALYTICS_REPORTING_ENABLED", "ANALYTICS_CHECK_FOR_UPDATES", "ANALYTICS_CHECK_FOR_PLUGIN_UPDATES", "NEWS_NEWS_FEED_ENABLED", "SNAPSHOTS_EXTERNAL_ENABLED"].map((key) => [`GF_${key}`, "false"]),
  ...["SECURITY_DISABLE_GRAVATAR", "PLUGINS_PREINSTALL_DISABLED", "PLUGINS_PUBLIC_KEY_RETRIEVAL_DISABLED"].map((key) => [`GF_${key}`, "true"]),
];

function compose(stack) {
  const used = new Set();
  for (const [name, s] of Object.entries(stack.services)) {
    const at = (words) => `service ${name}: ${words}`;
    must(s.cap_drop?.includes("ALL"), at("does not drop all capabilities"));
    must(name === "prepare" ? `${s.cap_add}` === "CHOWN" && s.network_mode === "none" : !s.cap_add, at("adds capabilities"));
    must(s.security_opt?.includes("no-new-privileges:true"), at("may gain privileges"));
    must(s.read_only === true, at("can write to its root"));
    must(!s.privileged && !s.pid && !s.ipc && !s.devices && (!s.network_mode || name === "prepare"), at("shares something with the host"));
    must(name === "prepare" || /^[1-9]\d*:[1-9]\d*$/.test(s.user ?? ""), at("runs as root"));
    must(PINNED.test(s.image ?? ""), at(`image ${s.image} is not pinned by version`));
    must(s.mem_limit && s.cpus && s.pids_limit, at("has no limit on memory, processors or processes"));
    must(WATCHED[name] || s.healthcheck?.test, at("has no health check"));
    must(s.logging?.options?.["max-size"], at("logs without an end"));
    must(name === "proxy" || !s.ports, at("publishes a port"));
    must(name === "prepare" || `${Object.keys(s.networks ?? {}).length ? netNames(s.networks) : ""}` === (name === "proxy" ? "edge,inside" : "inside"), at("is on another network"));
    for (const volume of s.volumes ?? []) {
      const { source, readOnly, noCopy } = mount(volume);
      if (!/^[./]/.test(source)) {
        must(source in stack.volumes, at(`volume ${source} is not declared`));
        must(noCopy || name === "prepare", at(`volume ${source} would take the owner of a folder in the image: say nocopy`));
      } else {
        must(normalize(resolve(source)).startsWith(`${resolve(dir)}/`), at(`mounts ${source}, which is not in deploy/`));
        must(readOnly, at(`can write to ${source}`));
        must(existsSync(source), at(`mounts ${source}, which does not exist`));
      }
    }
    for (const secret of s.secrets ?? []) {
      const id = secret.source ?? secret;
      used.add(id);
      must(id in (stack.secrets ?? {}), at(`secret ${id} is not declared`));
    }
    for (const [key, value] of Object.entries(s.environment ?? {})) {
      must(!/PASSWORD|SECRET|TOKEN|(?<!PUBLIC_)KEY/.test(key) || /^\/run\/secrets\//.test(value), at(`${key} is a secret in the environment`));
      for (const [, id] of `${value}`.matchAll(/\/run\/secrets\/(\w+)/g)) must((s.secrets ?? []).some((x) => (x.source ?? x) === id), at(`reads secret ${id}, which it is not given`));
    }
    if (s.build) containerfile(name, s.build);
  }
  for (const [key, value] of SILENT) must(stack.services.grafana?.environment?.[key] === value, `service grafana: ${key} is not ${value}: it, or who looks at it, asks the internet`);
  const published = (stack.services.proxy.ports ?? []).map((p) => Number(p.published ?? `${p}`.split(":")[0])).sort((a, b) => a - b);
  must(`${published}` === "80,443", `the proxy publishes ${published}, not 80 and 443`);
  must(stack.networks.inside?.internal === true, "the network “inside” leads out");
  for (const id of Object.keys(stack.secrets ?? {})) must(used.has(id), `secret ${id} is used by nobody`);
}

const netNames = (networks) => (Array.isArray(networks) ? networks : Object.keys(networks)).toSorted();
function mount(volume) {
  if (typeof volume !== "string") return { source: volume.source, readOnly: volume.read_only === true, noCopy: volume.volume?.nocopy === true };
  const [source, , mode = ""] = volume.split(":");
  return { source, readOnly: mode.split(",").includes("ro"), noCopy: mode.split(",").includes("nocopy") };
}

function containerfile(name, build) {
  const file = readFileSync(resolve(build.context, build.dockerfile), "utf8");
  const bases = [...file.matchAll(/^ARG \w*BASE=(\S+)$/gm)].map((m) => m[1]);
  must(bases.length > 0 && bases.every((b) => /:\d+\.\d+[\w.-]*$/.test(b)), `service ${name}: its image begins with ${bases}, which is not pinned`);
  must(/^USER [1-9]\d*:[1-9]\d*$/m.test(file), `service ${name}: its image runs as root`);
}

/** Every `name:port` that a file of the stack speaks of is a service that listens there. */
function names(stack) {
  const listens = {
    scoreboard: [/--listen=[\d.]+:(\d+)/.exec(stack.services.scoreboard.command.join(" "))?.[1]],
    database: ["5432"],
    nats: [/listen: "[\d.]+:(\d+)"/.exec(text("nats/nats.conf"))?.[1]],
    logs: [/port\((\d+)\)/.exec(text("logs/syslog-ng.conf"))?.[1]],
    loki: [`${yaml("loki/loki.yml").server.http_listen_port}`],
    prometheus: ["9090"],
    grafana: ["3000"],
  };
  const files = { "nginx.conf": text("proxy/nginx.conf"), "syslog-ng.conf": text("logs/syslog-ng.conf"), "prometheus.yml": text("prometheus/prometheus.yml"), "sources.yml": text("grafana/provisioning/datasources/sources.yml"), "setup.sh": text("setup.sh"), "compose.yml": JSON.stringify(stack.services.scoreboard.command) };
  let seen = 0;
  for (const [file, content] of Object.entries(files))
    for (const [, host, port] of content.matchAll(/(?:\/\/|server=|@|\[")([a-z]+):(\d+)/g)) {
      if (host === "localhost") continue;
      seen += 1;
      must(listens[host]?.includes(port), `${file} speaks to ${host}:${port}, where nothing listens`);
    }
  must(seen >= 8, "the walk found almost no address: it would pass for the wrong reason");
  const loki = yaml("loki/loki.yml");
  for (const key of fields(loki)) must(LOKI.has(key), `loki.yml: “${key}” is no field that this check knows`);
  must(loki.auth_enabled === false && loki.analytics?.reporting_enabled === false, "loki.yml: asks for a tenant, or reports to its maker");
  const schema = loki.schema_config?.configs?.at(-1);
  must(schema?.store === "tsdb" && schema?.schema === "v13" && schema?.index?.period === "24h", "loki.yml: the schema is not tsdb, v13, 24h");
  must(loki.compactor?.retention_enabled === true && loki.compactor?.delete_request_store === schema?.object_store, "loki.yml: nothing removes old lines");
  must(Number.parseInt(loki.limits_config?.retention_period, 10) % 24 === 0, "loki.yml: the retention is not whole days");
  const paths = [loki.common?.path_prefix, loki.compactor?.working_directory, ...Object.values(loki.common?.storage?.filesystem ?? {})];
  must(paths.length === 4 && paths.every((p) => `${p}`.startsWith("/loki")), `loki.yml: writes outside its volume: ${paths}`);
}

/** Fields of Loki 3.5 by their paths, as its makers' reference of the configuration has them: Loki does not start with one that it does not know. */
const LOKI = new Set(
  `auth_enabled server.http_listen_port server.log_level common.instance_addr common.path_prefix common.replication_factor
  common.storage.filesystem.chunks_directory common.storage.filesystem.rules_directory common.ring.kvstore.store
  schema_config.configs.from schema_config.configs.store schema_config.configs.object_store schema_config.configs.schema
  schema_config.configs.index.prefix schema_config.configs.index.period
  compactor.working_directory compactor.retention_enabled compactor.delete_request_store
  limits_config.retention_period limits_config.ingestion_rate_mb limits_config.ingestion_burst_size_mb limits_config.max_label_names_per_series
  limits_config.max_global_streams_per_user limits_config.max_line_size limits_config.max_line_size_truncate analytics.reporting_enabled`.split(/\s+/),
);
const fields = (value, path = "") =>
  value === null || typeof value !== "object" ? [path] : Array.isArray(value) ? value.flatMap((v) => fields(v, path)) : Object.entries(value).flatMap(([key, v]) => fields(v, path ? `${path}.${key}` : key));

function dashboardsHold() {
  const sources = new Set(yaml("grafana/provisioning/datasources/sources.yml").datasources.map((d) => d.uid));
  const uids = new Set();
  must(dashboards().length > 0, "there is no dashboard");
  for (const [file, d] of dashboards()) {
    must(d.uid && !uids.has(d.uid) && d.title && d.schemaVersion >= 36, `${file}: uid, title or schemaVersion is missing, or the uid is taken`);
    uids.add(d.uid);
    const ids = new Set();
    const tiles = [];
    for (const p of d.panels ?? []) {
      const at = `${file}, panel “${p.title}”`;
      must(Number.isInteger(p.id) && !ids.has(p.id), `${at}: the id ${p.id} is taken`);
      ids.add(p.id);
      must(p.title && p.type, `${at}: has no title or type`);
      const g = p.gridPos ?? {};
      must([g.x, g.y, g.w, g.h].every(Number.isInteger) && g.x + g.w <= 24, `${at}: is outside the grid`);
      for (const o of tiles) must(g.x >= o.x + o.w || o.x >= g.x + g.w || g.y >= o.y + o.h || o.y >= g.y + g.h, `${at}: lies over another`);
      tiles.push(g);
      must(p.targets?.length > 0, `${at}: asks nothing`);
      must(new Set(p.targets?.map((t) => t.refId)).size === p.targets?.length, `${at}: a refId is taken`);
      for (const t of p.targets ?? []) must(t.expr && sources.has(t.datasource?.uid), `${at}: ${t.refId} has no query, or a source that is not provisioned`);
    }
    must(ids.size > 0, `${file}: has no panel`);
  }
}

/** Names in a PromQL text, without strings and label matchers. */
const asked = (expr) => [...expr.replace(/"[^"]*"/g, "").replace(/\{[^}]*\}/g, "").matchAll(/\b(forge_\w+|board:[\w:]+|up|ALERTS)\b/g)].map((m) => m[1]);
/** The labels of each metric asked for: name → labels. */
const matched = (expr) => [...expr.matchAll(/\b(forge_\w+)\{([^}]*)\}/g)].flatMap(([, name, inner]) => [...inner.matchAll(/(\w+)\s*[=!]~?/g)].map(([, label]) => [name, label]));

function metrics(answer) {
  const told = new Map();
  for (const line of answer.split("\n")) {
    const [, name, inner = ""] = /^(\w+)(?:\{(.*)\})? /.exec(line) ?? [];
    if (!name || line.startsWith("#")) continue;
    const labels = told.get(name) ?? told.set(name, new Set()).get(name);
    for (const [, label] of inner.matchAll(/(\w+)="/g)) labels.add(label);
  }
  const all = rules();
  const recorded = new Set(all.filter((r) => r.record).map((r) => r.record));
  const queries = all.map((r) => [`rule ${r.record ?? r.alert}`, r.expr]);
  for (const [file, d] of dashboards())
    for (const p of d.panels) for (const t of p.targets) if (t.datasource.uid === "prometheus") queries.push([`${file}, panel “${p.title}”`, t.expr]);
  for (const [at, expr] of queries) {
    const found = asked(expr);
    must(found.length > 0, `${at}: asks for no metric of ours`);
    for (const name of found) must(told.has(name) || recorded.has(name) || ["up", "ALERTS"].includes(name), `${at}: nobody tells ${name}`);
    for (const [name, label] of matched(expr)) must(told.get(name)?.has(label), `${at}: ${name} has no label ${label}`);
  }
  must(told.size > 10, "the board told almost nothing");
}

const input = readFileSync(0, "utf8");
if (what === "compose") compose(JSON.parse(input));
else if (what === "names") names(JSON.parse(input));
else if (what === "dashboards") dashboardsHold();
else if (what === "metrics") metrics(input);
else wrong.push(`unknown check: ${what}`);
for (const words of wrong) console.error(`  ${words}`);
process.exit(wrong.length > 0 ? 1 : 0);
