//! Brings what authors may write short into the one form that is read: the flat original form of a lab becomes
//! `spec:` with a node and its segments; evidence and parameters get the shape of tagged values. Places are kept.

use super::model::{API_VERSION, KIND};
use super::problem::{Pos, Problem};
use super::scenario::GATEWAY;
use super::tree::{Key, Kind, Tree};

const FLAT_BLOCKS: &[&str] =
    &["parameters", "limits", "network", "assets", "successCriteria", "hints", "requires", "reexecution"];

pub fn normal(file: &str, tree: Tree) -> Result<Tree, Problem> {
    if !matches!(tree.kind, Kind::Map(_)) {
        return Err(Problem::new(
            file,
            tree.at,
            format!("expected a mapping with metadata and spec, found {}", tree.what()),
        ));
    }
    let tree = if tree.get("spec").is_none() && FLAT_BLOCKS.iter().any(|b| tree.get(b).is_some()) {
        unflatten(tree)
    } else {
        tree
    };
    let mut refused = None;
    let tree = edit(tree, "spec", &mut |spec| match way_out(file, spec.clone()) {
        Ok(spec) => spec,
        Err(problem) => {
            refused = Some(problem);
            spec
        }
    });
    if let Some(problem) = refused {
        return Err(problem);
    }
    Ok(edit(tree, "spec", &mut |spec| {
        let spec = edit(spec, "parameters", &mut |p| each_value(p, &mut parameter));
        let spec = edit(spec, "assets", &mut |a| edit(a, "nodes", &mut |n| each_item(n, &mut node)));
        edit(spec, "successCriteria", &mut |c| {
            each_item(c, &mut |criterion| edit(criterion, "evidence", &mut |e| each_item(e, &mut evidence)))
        })
    }))
}

/// The original language: one container, the blocks at the top level, a segment per entry of `network.subnets`.
fn unflatten(tree: Tree) -> Tree {
    let at = tree.at;
    let Kind::Map(entries) = tree.kind else { return tree };
    let (spec, mut top): (Vec<_>, Vec<_>) =
        entries.into_iter().partition(|(k, _)| FLAT_BLOCKS.contains(&k.name.as_str()));
    let mut spec = map(at, spec);
    let name = spec
        .get("assets")
        .and_then(|a| a.get("container"))
        .and_then(|c| c.get("name"))
        .and_then(Tree::as_text)
        .unwrap_or("lab")
        .to_owned();
    spec = edit(spec, "assets", &mut one_container);
    spec = edit(spec, "network", &mut |n| container_segments(n, &name));
    for (key, value) in [("apiVersion", API_VERSION), ("kind", KIND)] {
        if !top.iter().any(|(k, _)| k.name == key) {
            top.push((self::key(at, key), text(at, value)));
        }
    }
    top.push((key(at, "spec"), spec));
    map(at, top)
}

/// With `egress: allowlist` a lab gets its gateway: a node, and an end of it in each segment that says `gateway: egress`.
fn way_out(file: &str, spec: Tree) -> Result<Tree, Problem> {
    let Some(egress) = spec.get("network").and_then(|n| n.get("egress")).filter(|e| e.as_text() == Some("allowlist"))
    else {
        return Ok(spec);
    };
    if spec.get("network").and_then(|n| n.get("allowlist_profile")).is_none() {
        // Said where it is read.
        return Ok(spec);
    }
    let at = egress.at;
    let nodes = spec.get("assets").and_then(|a| a.get("nodes")).map(Tree::items).unwrap_or_default();
    if let Some(taken) = nodes.iter().filter_map(|n| n.get("name")).find(|n| n.as_text() == Some(GATEWAY)) {
        return Err(Problem::new(file, taken.at, format!("“{GATEWAY}” is the gateway's name, which comes by itself"))
            .hint("Give this node another name."));
    }
    let mut ends = 0;
    let mut attached = false;
    let spec = edit(spec, "network", &mut |network| {
        attached = ["links", "segments"].iter().filter_map(|l| network.get(l)).flat_map(Tree::items).any(names_gateway);
        edit(network, "segments", &mut |segments| {
            each_item(segments, &mut |segment| {
                let at = segment.at;
                if segment.get("gateway").and_then(Tree::as_text) != Some(GATEWAY) {
                    return segment;
                }
                attached = true;
                if names_gateway(&segment) {
                    return segment;
                }
                ends += 1;
                let end = text(at, &format!("{GATEWAY}:lab{ends}"));
                edit(segment, "members", &mut |members| match members.kind {
                    Kind::List(mut items) => {
                        items.push(end.clone());
                        Tree { at: members.at, kind: Kind::List(items) }
                    }
                    kind => Tree { at: members.at, kind },
                })
            })
        })
    });
    if !attached {
        return Err(Problem::new(file, at, "egress: allowlist, but nothing leads to the gateway")
            .hint(format!("Say `gateway: {GATEWAY}` in the segment whose nodes may leave by it.")));
    }
    let listens = map(at, vec![(key(at, "listen"), text(at, "udp/53"))]);
    let ready = Tree { at, kind: Kind::List(vec![listens]) };
    let gateway = map(
        at,
        vec![(key(at, "name"), text(at, GATEWAY)), (key(at, "role"), text(at, "gateway")), (key(at, "ready"), ready)],
    );
    Ok(edit(spec, "assets", &mut |assets| {
        edit(assets, "nodes", &mut |nodes| match nodes.kind {
            Kind::List(mut items) => {
                items.push(gateway.clone());
                Tree { at: nodes.at, kind: Kind::List(items) }
            }
            kind => Tree { at: nodes.at, kind },
        })
    }))
}

/// Whether a link or segment has an end `egress:<interface>`.
fn names_gateway(link: &Tree) -> bool {
    let ends = ["between", "members"].iter().filter_map(|l| link.get(l)).flat_map(Tree::items);
    ends.into_iter().any(|end| match end.as_text() {
        Some(short) => short.split_once(':').is_some_and(|(node, _)| node == GATEWAY),
        None => end.get("node").and_then(Tree::as_text) == Some(GATEWAY),
    })
}

fn one_container(assets: Tree) -> Tree {
    let at = assets.at;
    match assets.kind {
        Kind::Map(entries) => {
            let entries = entries
                .into_iter()
                .map(|(k, v)| {
                    if k.name != "container" {
                        return (k, v);
                    }
                    let mut container = v;
                    for (field, value) in [("name", "lab"), ("role", "learner")] {
                        if let Kind::Map(fields) = &mut container.kind
                            && !fields.iter().any(|(k, _)| k.name == field)
                        {
                            fields.push((key(container.at, field), text(container.at, value)));
                        }
                    }
                    (Key { at: k.at, name: "nodes".into() }, Tree { at: k.at, kind: Kind::List(vec![container]) })
                })
                .collect();
            map(at, entries)
        }
        kind => Tree { at, kind },
    }
}

fn container_segments(network: Tree, node: &str) -> Tree {
    let at = network.at;
    let segments: Vec<Tree> = network
        .get("subnets")
        .map(Tree::items)
        .unwrap_or_default()
        .iter()
        .enumerate()
        .map(|(i, subnet)| {
            let member = text(subnet.at, &format!("{node}:eth{i}"));
            let mut fields = vec![
                (key(subnet.at, "id"), text(subnet.at, &format!("net{i}"))),
                (key(subnet.at, "members"), Tree { at: subnet.at, kind: Kind::List(vec![member]) }),
                (key(subnet.at, "subnet"), subnet.clone()),
            ];
            if i == 0 && network.get("egress").and_then(Tree::as_text) == Some("allowlist") {
                fields.push((key(subnet.at, "gateway"), text(subnet.at, GATEWAY)));
            }
            map(subnet.at, fields)
        })
        .collect();
    match network.kind {
        Kind::Map(mut entries) if !segments.is_empty() && !entries.iter().any(|(k, _)| k.name == "segments") => {
            entries.push((key(at, "segments"), Tree { at, kind: Kind::List(segments) }));
            map(at, entries)
        }
        kind => Tree { at, kind },
    }
}

/// `kind` → `{kind: {}}`; so does `{kind: null}`.
fn parameter(p: Tree) -> Tree {
    let at = p.at;
    match p.kind {
        Kind::Text(kind) => map(at, vec![(key(at, &kind), map(at, vec![]))]),
        Kind::Map(entries) => map(
            at,
            entries
                .into_iter()
                .map(|(k, v)| if v.kind == Kind::Null { (k, map(v.at, vec![])) } else { (k, v) })
                .collect(),
        ),
        kind => Tree { at, kind },
    }
}

/// `files: files/r1` → `files: [{from: files/r1}]`; so does one mapping.
fn node(n: Tree) -> Tree {
    edit(n, "files", &mut |files| {
        let at = files.at;
        match files.kind {
            Kind::List(_) => each_item(files, &mut one_file),
            _ => Tree { at, kind: Kind::List(vec![one_file(files)]) },
        }
    })
}

fn one_file(f: Tree) -> Tree {
    match f.kind {
        Kind::Text(_) => map(f.at, vec![(key(f.at, "from"), f)]),
        _ => f,
    }
}

/// `{probe: ping, from: a, within: 3s}` → `{within: 3s, probe: {ping: {from: a}}}`.
fn evidence(e: Tree) -> Tree {
    let at = e.at;
    let Kind::Map(entries) = e.kind else { return e };
    let mut outer = Vec::new();
    let mut inner = Vec::new();
    let mut name = None;
    for (k, v) in entries {
        match (k.name.as_str(), &v.kind) {
            ("probe", Kind::Text(_)) => name = Some((k, v)),
            ("after" | "within" | "probe", _) => outer.push((k, v)),
            _ => inner.push((k, v)),
        }
    }
    match name {
        Some((k, v)) => {
            let probe = v.as_text().unwrap_or_default().to_owned();
            let body = map(at, inner);
            outer.push((k, map(v.at, vec![(Key { at: v.at, name: probe }, body)])));
        }
        None => outer.append(&mut inner),
    }
    map(at, outer)
}

fn edit(tree: Tree, name: &str, change: &mut dyn FnMut(Tree) -> Tree) -> Tree {
    let at = tree.at;
    match tree.kind {
        Kind::Map(entries) => {
            map(at, entries.into_iter().map(|(k, v)| if k.name == name { (k, change(v)) } else { (k, v) }).collect())
        }
        kind => Tree { at, kind },
    }
}

fn each_item(tree: Tree, change: &mut dyn FnMut(Tree) -> Tree) -> Tree {
    let at = tree.at;
    match tree.kind {
        Kind::List(items) => Tree { at, kind: Kind::List(items.into_iter().map(change).collect()) },
        kind => Tree { at, kind },
    }
}

fn each_value(tree: Tree, change: &mut dyn FnMut(Tree) -> Tree) -> Tree {
    let at = tree.at;
    match tree.kind {
        Kind::Map(entries) => map(at, entries.into_iter().map(|(k, v)| (k, change(v))).collect()),
        kind => Tree { at, kind },
    }
}

fn map(at: Pos, entries: Vec<(Key, Tree)>) -> Tree {
    Tree { at, kind: Kind::Map(entries) }
}

fn key(at: Pos, name: &str) -> Key {
    Key { at, name: name.to_owned() }
}

fn text(at: Pos, value: &str) -> Tree {
    Tree { at, kind: Kind::Text(value.to_owned()) }
}
