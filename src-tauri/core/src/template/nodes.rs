//! From nodes as written to nodes that can be launched: defaults by role, files laid out, every path checked.

use super::folder::Folder;
use super::model::{FileSpec, NodeSpec, ReadySpec};
use super::network::{Plan, hosts};
use super::problem::{Pos, Problem, did_you_mean};
use super::scenario::{Node, NodeFile, Ready};
use super::scope::Scope;
use super::shape::{CAPABILITIES, clean_path, is_label};
use super::typed::At;
use crate::api::Role;
use std::collections::{BTreeMap, BTreeSet};

pub const IMAGES: &[&str] = &["host", "router", "server", "tools"];
/// Of the node that comes by itself with `egress: allowlist`.
const GATEWAY_IMAGE: &str = "gateway";

/// These are there and writable in every node, but lost at a restart.
const VOLATILE: &[&str] = &["run", "tmp", "var/log", "var/tmp", "proc", "sys", "dev"];

pub struct Context<'a> {
    pub file: &'a str,
    pub folder: &'a Folder,
    pub scope: &'a Scope,
    pub plan: &'a Plan,
    pub names: bool,
}

pub fn nodes(specs: &[NodeSpec], cx: &Context) -> Result<Vec<Node>, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut seen = BTreeSet::new();
    let mut out = Vec::new();
    for spec in specs {
        if !is_label(&spec.name, 32) {
            problems.push(
                Problem::new(cx.file, spec.name.at, format!("“{}” cannot be a node's name", spec.name.value))
                    .hint("Use at most 32 lower-case letters, digits and hyphens."),
            );
        } else if !seen.insert(spec.name.value.clone()) {
            problems.push(Problem::new(
                cx.file,
                spec.name.at,
                format!("there are two nodes named “{}”", spec.name.value),
            ));
        }
        out.push(node(spec, cx, &mut problems));
    }
    if problems.is_empty() { Ok(out) } else { Err(problems) }
}

fn node(spec: &NodeSpec, cx: &Context, problems: &mut Vec<Problem>) -> Node {
    let mut problem = |at: Pos, message: String, hint: Option<String>| {
        problems.push(Problem::new(cx.file, at, message).maybe_hint(hint));
    };
    let image = spec.image.as_ref().map_or_else(|| default_image(spec.role).to_owned(), |i| i.value.clone());
    if let Some(at) = spec.image.as_ref().filter(|i| !IMAGES.contains(&i.as_str())) {
        problem(at.at, format!("there is no image “{image}”"), did_you_mean(&image, IMAGES.iter().copied()));
    }
    for cap in &spec.caps {
        if !CAPABILITIES.contains(&cap.as_str()) {
            let hint = did_you_mean(cap, CAPABILITIES.iter().copied()).filter(|h| h.starts_with("Did"));
            problem(
                cap.at,
                format!("“{}” is not a capability", cap.value),
                hint.or(Some("Write it without CAP_, in capitals.".into())),
            );
        }
    }
    for dir in &spec.writable {
        match clean_path(dir) {
            None => problem(dir.at, format!("“{}” is not a plain absolute path", dir.value), None),
            Some(rest) if VOLATILE.iter().any(|v| within(rest, v)) => {
                problem(
                    dir.at,
                    format!("“{}” cannot be declared writable", dir.value),
                    Some(
                        "/run, /tmp, /var/log and /var/tmp are writable anyway; /proc, /sys and /dev are the kernel's."
                            .into(),
                    ),
                );
            }
            Some(_) => {}
        }
    }
    let files = files(spec, cx, problems);
    let name = &spec.name.value;
    Node {
        name: name.clone(),
        role: spec.role,
        image,
        enter: spec.enter.unwrap_or(!matches!(spec.role, Role::Attacker | Role::Gateway)),
        caps: spec.caps.iter().map(|c| c.value.clone()).collect(),
        writable: spec.writable.iter().map(|w| w.value.clone()).collect(),
        env: spec.environment.clone(),
        files,
        startup: spec.startup.clone(),
        ready: spec
            .ready
            .iter()
            .map(|r| match r {
                ReadySpec::Listen(s) => Ready::Listen { proto: s.proto, port: s.port },
                ReadySpec::Path(path) => Ready::Path { path: path.clone() },
            })
            .collect(),
        hosts: if cx.names { hosts(&cx.plan.links, name) } else { BTreeMap::new() },
        gateway: spec.gateway.or_else(|| cx.plan.gateways.get(name).copied()),
        forwarding: spec.forwarding.unwrap_or(matches!(spec.role, Role::Router | Role::Gateway)),
        ports: spec.ports.iter().map(|p| (p.port, p.label.clone())).collect(),
    }
}

fn default_image(role: Role) -> &'static str {
    match role {
        Role::Router => "router",
        Role::Server => "server",
        Role::Attacker | Role::Defender => "tools",
        Role::Learner | Role::Client | Role::Switch | Role::Aux => "host",
        Role::Gateway => GATEWAY_IMAGE,
    }
}

/// `path` is `dir` or lies below it; both without a leading slash.
fn within(path: &str, dir: &str) -> bool {
    path.strip_prefix(dir).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn files(spec: &NodeSpec, cx: &Context, problems: &mut Vec<Problem>) -> Vec<NodeFile> {
    let mut out: Vec<NodeFile> = Vec::new();
    for f in &spec.files {
        match laid_out(f, cx) {
            Ok(files) => {
                for file in files {
                    let writable = spec.writable.iter().any(|w| {
                        matches!((clean_path(&file.path), clean_path(w)), (Some(p), Some(w)) if within(p, w) && p != w)
                    });
                    let at = f.path.as_ref().or(f.from.as_ref()).map_or(spec.name.at, |a| a.at);
                    if !writable {
                        problems.push(
                            Problem::new(
                                cx.file,
                                at,
                                format!("{} lies below no writable directory of “{}”", file.path, spec.name.value),
                            )
                            .hint("Add its directory to the node's `writable`."),
                        );
                    }
                    if out.iter().any(|o| o.path == file.path) {
                        problems.push(Problem::new(cx.file, at, format!("{} is written twice", file.path)));
                    }
                    out.push(file);
                }
            }
            Err(p) => problems.push(p.unwrap_or_else(|| {
                Problem::new(cx.file, spec.name.at, "a file needs either `from`, or `path` with `content`")
            })),
        }
    }
    out
}

fn laid_out(f: &FileSpec, cx: &Context) -> Result<Vec<NodeFile>, Option<Problem>> {
    let mode = f.mode.as_ref().map_or(Ok(0o644), |m| mode(cx.file, m)).map_err(Some)?;
    if let Some(owner) = &f.owner
        && !owner.split(':').all(|o| is_label(&o.replace('_', "a"), 32))
    {
        let at = f.path.as_ref().or(f.from.as_ref()).map_or(Pos::START, |a| a.at);
        return Err(Some(Problem::new(cx.file, at, format!("“{owner}” is not `user` or `user:group`"))));
    }
    let one = |path: String, content: Vec<u8>| NodeFile { path, mode, owner: f.owner.clone(), content };
    match (&f.from, &f.path, &f.content) {
        (Some(from), None, None) => {
            let dir = from.trim_end_matches('/');
            if !dir.starts_with("files/") || clean_path(&format!("/{dir}")).is_none() {
                return Err(Some(
                    Problem::new(cx.file, from.at, format!("“{}” is not a folder below files/", from.value))
                        .hint("Write it relative to the lab's folder, such as files/r1."),
                ));
            }
            let to = f.to.as_ref().map_or("", |t| t.trim_end_matches('/'));
            let mut out = Vec::new();
            for (path, bytes) in cx.folder.below(dir) {
                let content = match std::str::from_utf8(bytes) {
                    Ok(text) => cx.scope.fill_text(&format!("{dir}/{path}"), text).map_err(Some)?.into_bytes(),
                    Err(_) => bytes.to_vec(),
                };
                out.push(one(format!("{to}/{path}"), content));
            }
            if out.is_empty() {
                return Err(Some(Problem::new(cx.file, from.at, format!("the lab has no files below {dir}"))));
            }
            Ok(out)
        }
        (None, Some(path), Some(content)) => {
            if clean_path(path).is_none() {
                return Err(Some(Problem::new(
                    cx.file,
                    path.at,
                    format!("“{}” is not a plain absolute path", path.value),
                )));
            }
            Ok(vec![one(path.value.clone(), content.clone().into_bytes())])
        }
        _ => Err(f
            .from
            .as_ref()
            .or(f.path.as_ref())
            .map(|a| Problem::new(cx.file, a.at, "a file needs either `from`, or `path` with `content`"))),
    }
}

fn mode(file: &str, text: &At<String>) -> Result<u32, Problem> {
    u32::from_str_radix(text, 8).ok().filter(|m| *m <= 0o777 && text.len() >= 3).ok_or_else(|| {
        Problem::new(file, text.at, format!("“{}” is not an octal mode", text.value))
            .hint("Write it in quotes: \"0640\".")
    })
}
