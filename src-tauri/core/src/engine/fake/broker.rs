//! What `broker.pl` answers, out of the simulated world.

use super::*;

/// Answers as `broker.pl` in one life of a fabric does.
#[derive(Clone)]
pub(super) struct Broker {
    pub(super) world: Arc<World>,
    pub(super) process: usize,
    pub(super) fabric: String,
    pub(super) life: u64,
}

impl Broker {
    pub(super) async fn serve(self, mut requests: tokio::io::DuplexStream, answers: mpsc::UnboundedSender<Bytes>) {
        let mut length = [0u8; 4];
        while requests.read_exact(&mut length).await.is_ok() {
            let mut body = vec![0; u32::from_be_bytes(length) as usize];
            if requests.read_exact(&mut body).await.is_err() {
                return;
            }
            let (broker, answers) = (self.clone(), answers.clone());
            tokio::spawn(async move {
                broker.world.pass(broker.process, "fabric").await;
                if let Some(answer) = broker.answer(&unpack(&body)) {
                    broker.world.pass(broker.process, "fabric answers").await;
                    let _ = answers.send(answer);
                }
            });
        }
    }

    /// None while the fabric does not live any more: nobody answers.
    fn answer(&self, fields: &[Vec<u8>]) -> Option<Bytes> {
        let text = |i: usize| fields.get(i).map(|f| String::from_utf8_lossy(f).into_owned()).unwrap_or_default();
        let (id, op, target, stdin) = (text(0), text(1), text(4), text(6));
        let args: Vec<String> = (7..fields.len()).map(text).collect();
        let mut s = self.world.lock();
        let run = {
            let fabric = s.boxes.get(&self.fabric).filter(|f| f.life == self.life)?;
            (fabric.state == ContainerState::Running).then_some(())?;
            fabric.labels.get(label::RUN).cloned()?
        };
        let node = target.split_once(':').map(|(pid, container)| (pid.to_owned(), container.to_owned()));
        let gone = node.as_ref().is_some_and(|(pid, container)| !s.runs_at(pid, container));
        let (status, exit, stdout, stderr) = match (op.as_str(), gone) {
            ("cancel", _) => return None,
            ("ping", _) => ("done", 0, String::new(), String::new()),
            (_, true) => ("gone", 0, String::new(), String::new()),
            ("exec", _) if args.first().is_some_and(|a| a == "ip") => match s.boxes.get_mut(&self.fabric) {
                Some(f) if f.laid => ("done", 2, String::new(), "RTNETLINK answers: File exists".into()),
                Some(f) => {
                    f.laid = true;
                    ("done", 0, String::new(), String::new())
                }
                None => return None,
            },
            ("exec", _) => {
                let script = args.get(2).cloned().unwrap_or_default();
                let laid = s.boxes.get(&self.fabric).is_some_and(|f| f.laid);
                if script.starts_with("test -e /sys/class/net/") && !laid {
                    ("done", 1, String::new(), String::new())
                } else if script.starts_with("ping ") {
                    // There is one way between two nodes, so any cut is on it.
                    let cut = s.cut.iter().any(|(of, _)| *of == run);
                    let said = format!("1 packets transmitted, {} received, 0% packet loss\n", u8::from(!cut));
                    ("done", u8::from(cut).into(), said, String::new())
                } else if let Some((verb, rest)) = script.split_once("/tmp/forge-cut-") {
                    let link = rest.split_whitespace().next().unwrap_or_default().to_owned();
                    if verb.contains("touch") {
                        s.cut.insert((run, link))
                    } else {
                        s.cut.remove(&(run, link))
                    };
                    ("done", 0, String::new(), String::new())
                } else {
                    ("done", 0, String::new(), String::new())
                }
            }
            ("wire", _) => {
                let laid = s.boxes.get(&self.fabric).is_some_and(|f| f.laid);
                let container = node.map(|(_, c)| c).unwrap_or_default();
                match s.boxes.get_mut(&container) {
                    _ if !laid => ("done", 1, String::new(), "Cannot find device".into()),
                    Some(b) if b.wired.is_some() => ("done", 0, String::new(), String::new()),
                    Some(b) => {
                        b.wired = Some(self.life);
                        ("done", 0, "wired".into(), String::new())
                    }
                    None => ("gone", 0, String::new(), String::new()),
                }
            }
            ("await", _) => {
                let ended = stdin.lines().find(|line| {
                    let words: Vec<&str> = line.split(' ').collect();
                    !matches!(words.as_slice(), [_, pid, container, ..] if s.runs_at(pid, container))
                });
                match ended.and_then(|line| line.split(' ').next()) {
                    Some(node) => ("done", 1, String::new(), format!("{node}\tit has ended")),
                    None => ("done", 0, String::new(), String::new()),
                }
            }
            ("guard", _) => match args.get(1).and_then(|id| s.boxes.get(id)) {
                Some(guard) if guard.state == ContainerState::Running => ("done", 0, String::new(), String::new()),
                _ => ("done", 8, String::new(), "its rule is not there".into()),
            },
            ("survey", _) => ("done", 0, self.survey(&s, &stdin, &run), String::new()),
            ("read", _) => ("done", 2, String::new(), String::new()),
            ("tree", _) => ("done", 0, String::new(), String::new()),
            _ => ("failed", 0, String::new(), format!("no such operation: {op}")),
        };
        let exit = exit.to_string();
        let body: Vec<u8> = [id.as_str(), status, &exit, "0", &stdout, &stderr]
            .iter()
            .flat_map(|f| [&(f.len() as u32).to_be_bytes(), f.as_bytes()].concat())
            .collect();
        Some(Bytes::from([&(body.len() as u32).to_be_bytes()[..], &body].concat()))
    }

    fn survey(&self, s: &State, stdin: &str, run: &str) -> String {
        let mut out = String::new();
        let mut ports = Vec::new();
        for (index, link) in self.scenario_links().iter().enumerate() {
            ports.push(format!("b{index}"));
            ports.extend((0..link.endpoints.len()).map(|end| format!("p{index}.{end}")));
        }
        for line in stdin.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let [node, pid, container, ..] = words.as_slice() else { continue };
            let wired =
                s.runs_at(pid, container) && s.boxes.get(*container).is_some_and(|b| b.wired == Some(self.life));
            let mut devices = vec!["lo".to_owned()];
            let ends = self.scenario_links().iter().flat_map(|l| &l.endpoints).filter(|e| e.node == *node);
            devices.extend(ends.filter(|_| wired).map(|e| e.interface.clone()));
            out.push_str(&format!("{node}\t{run}-{pid}\t{}\t\n", devices.join(",")));
        }
        out + &format!("\t{run}-fabric\tlo,{}\t\n", ports.join(","))
    }

    fn scenario_links(&self) -> &[crate::template::scenario::Link] {
        &self.world.scenario.links
    }
}
