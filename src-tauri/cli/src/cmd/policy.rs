//! Gates: their list, their test data, a question of one's own, and what was decided. Testing and asking need no engine, so
//! they work on a machine where nothing else does.

use crate::Cx;
use crate::args::PolicyCommand;
use crate::exit;
use crate::out::{Cell, Ink, Out, cell};
use forge_core::api::{DecisionRequest, Empty, GateAnswer, ListDecisions};
use forge_core::error::{Code, Error, Result};
use forge_core::policy::{Gate, Policy, cases, input};
use std::io::Read;
use std::process::ExitCode;

/// What needs no engine; None for the rest.
pub fn alone(what: &PolicyCommand, out: &Out) -> Option<Result<ExitCode>> {
    match what {
        PolicyCommand::Test => Some(test(out)),
        PolicyCommand::Eval { gate } => Some(eval(gate, out)),
        PolicyCommand::List | PolicyCommand::Log { .. } | PolicyCommand::Why { .. } => None,
    }
}

/// # Errors
/// What the engine answered, or `Io` when the answer could not be written.
pub async fn run(cx: &Cx, what: PolicyCommand) -> Result<ExitCode> {
    match what {
        PolicyCommand::List => list(cx).await?,
        PolicyCommand::Log { gate, run, denied, before, limit } => {
            let allow = denied.then_some(false);
            log(cx, ListDecisions { gate, run, allow, before, limit: Some(limit) }).await?;
        }
        PolicyCommand::Why { decision } => why(cx, decision).await?,
        PolicyCommand::Test | PolicyCommand::Eval { .. } => {
            return Err(Error::internal("a command that needs no engine reached the engine"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn test(out: &Out) -> Result<ExitCode> {
    let policy = Policy::load()?;
    let outcomes: Vec<cases::Outcome> = cases::suites()?.iter().flat_map(|suite| cases::run(&policy, suite)).collect();
    let failed = outcomes.iter().filter(|o| !o.ok).count();
    let ok = failed == 0 && !outcomes.is_empty();
    let document = serde_json::json!({
        "ok": ok, "policy_digest": policy.digest(), "cases": outcomes.len(), "failed": failed, "outcomes": outcomes,
    });
    out.answer(&document, |out, _| {
        let rows: Vec<Vec<Cell>> = Gate::ALL
            .iter()
            .map(|gate| {
                let own: Vec<&cases::Outcome> = outcomes.iter().filter(|o| o.gate == *gate).collect();
                let passed = own.iter().filter(|o| o.ok).count();
                let (mark, ink) = if passed == own.len() { ("✓", Ink::Good) } else { ("✗", Ink::Bad) };
                vec![
                    (mark.into(), ink),
                    cell(gate.name()),
                    cell(own.len().to_string()),
                    cell((own.len() - passed).to_string()),
                ]
            })
            .collect();
        out.table(&["", "GATE", "CASES", "FAILED"], &rows)?;
        for o in outcomes.iter().filter(|o| !o.ok) {
            out.line(format!("\n{} {}: {}\n  answered {}", out.ink(Ink::Bad, "✗"), o.gate.name(), o.note, o.seen))?;
        }
        out.line(format!("\n{} of {} cases pass.", outcomes.len() - failed, outcomes.len()))
    })?;
    Ok(if ok { ExitCode::SUCCESS } else { ExitCode::from(exit::FAILED) })
}

/// One JSON document in, one out, with or without `--json`. What is wrong with the question is wrong usage, too large a
/// question included.
fn eval(gate: &str, out: &Out) -> Result<ExitCode> {
    let gate: Gate = gate.parse()?;
    let mut bytes = Vec::new();
    let most = u64::try_from(input::INPUT_BYTES + 1).unwrap_or(u64::MAX);
    std::io::stdin().lock().take(most).read_to_end(&mut bytes)?;
    let question = match input::read(&bytes) {
        Ok(question) => question,
        Err(e) if e.code == Code::TooLarge => {
            out.error(&e);
            return Ok(ExitCode::from(exit::USAGE));
        }
        Err(e) => return Err(e),
    };
    let decision = Policy::load()?.decide(gate, &question);
    out.document(&GateAnswer {
        allow: decision.allow,
        reasons: decision.reasons,
        policy_digest: decision.policy_digest,
        micros: decision.micros,
    })?;
    Ok(if decision.allow { ExitCode::SUCCESS } else { ExitCode::from(exit::of(Code::Denied)) })
}

async fn list(cx: &Cx) -> Result<()> {
    let gates = cx.engine.list_gates(&cx.caller, Empty {}).await?;
    cx.out.answer(&gates, |out, gates| {
        for gate in &gates.gates {
            out.line(format!("{}  {}", out.ink(Ink::Bold, &format!("{:<12}", gate.name)), gate.asks))?;
            out.line(format!("{:14}{}", "", out.ink(Ink::Dim, &format!("asked with {}", gate.input))))?;
            out.line(format!("{:14}{} reasons to say no, {} cases", "", gate.rules.len(), gate.cases))?;
        }
        out.line(format!("\nPolicies {}", gates.policy_digest))
    })
}

async fn log(cx: &Cx, request: ListDecisions) -> Result<()> {
    let page = cx.engine.list_decisions(&cx.caller, request).await?;
    cx.out.answer(&page, |out, page| {
        if page.decisions.is_empty() && page.unreadable == 0 {
            return out.line("No gate has decided this. Starting a lab asks four of them.");
        }
        let rows: Vec<Vec<Cell>> = page
            .decisions
            .iter()
            .map(|d| {
                let answer = if d.allow { ("allowed".into(), Ink::Good) } else { ("denied".into(), Ink::Bad) };
                vec![
                    (d.id.to_string(), Ink::Bold),
                    cell(super::audit::when(d.at)),
                    cell(&d.gate),
                    answer,
                    cell(d.run.as_deref().unwrap_or("–")),
                    cell(d.lab.as_deref().unwrap_or("–")),
                    cell(d.reasons.join(" ")),
                ]
            })
            .collect();
        out.table(&["DECISION", "WHEN", "GATE", "ANSWER", "RUN", "LAB", "WHY"], &rows)?;
        if page.unreadable > 0 {
            out.progress(
                Ink::Bad,
                format!("{} entries cannot be read any more: `forge audit verify`.", page.unreadable),
            );
        }
        if let Some(next) = page.next {
            out.progress(Ink::Dim, format!("Older ones: --before {next}"));
        }
        Ok(())
    })
}

async fn why(cx: &Cx, id: i64) -> Result<()> {
    let detail = cx.engine.get_decision(&cx.caller, DecisionRequest { id }).await?;
    cx.out.answer(&detail, |out, d| {
        let answer = if d.decision.allow { out.ink(Ink::Good, "allowed") } else { out.ink(Ink::Bad, "denied") };
        out.line(format!("The {} gate {answer} this, {}.", d.decision.gate, super::audit::when(d.decision.at)))?;
        for reason in &d.decision.reasons {
            out.line(format!("  - {reason}"))?;
        }
        let policies = if d.current { "those of now" } else { "others than those of now" };
        out.line(format!("\nPolicies {} ({policies})", d.policy_digest))?;
        out.line(format!("\nIt was asked:\n{}", serde_json::to_string_pretty(&d.input)?))?;
        for other in &d.others {
            let answer = if other.allow { "allowed" } else { "denied" };
            out.line(format!("On the same occasion: {} {answer} (decision {})", other.gate, other.id))?;
        }
        Ok(())
    })
}
