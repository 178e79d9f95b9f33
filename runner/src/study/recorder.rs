//! What a stage reports, written as it comes; checkpoints between its steps.

use crate::checkpoint::{self, Position, State};
use crate::config::{self, Checkpoints, Study};
use crate::data::{TokenizedRecord, Tokenizer};
use crate::dynamics::gauge::Gauge;
use crate::files;
use crate::interrupt::{Interrupt, Interrupted};
use crate::log;
use crate::model::Model;
use crate::monitor::{Moment, Monitor, Watched};
use crate::probe::{self, When};
use crate::progress::{Event, Progress, StageBar};
use crate::record::{Action, AlarmRow, CHECKPOINTS, Journal, JsonlWriter, Metrics, Rule};
use crate::score::NotFinite;
use crate::tensorboard::Board;
use crate::train::{self, Best, Course, End, Intervention, Optimizer};
use anyhow::Result;
use candle_core::Tensor;
use std::path::{Path, PathBuf};
use std::time::Instant;
use tracing::{info, warn};

/// The monitor of a stage with what it needs.
pub struct Watch<'a> {
    pub config: &'a config::Monitor,
    pub monitor: Monitor<'a>,
    pub tokenizer: &'a Tokenizer,
}

impl Watch<'_> {
    /// Writes and shows alarms; what is to be done about them.
    fn raise(
        &self,
        alarms: &[AlarmRow],
        writer: &mut JsonlWriter,
        progress: &Progress,
    ) -> Result<Vec<Intervention>> {
        writer.write_all(alarms)?;
        for alarm in alarms {
            warn!(rule = alarm.rule.id(), step = alarm.step, kind = alarm.kind, action = ?alarm.action, "alarm: {}", alarm.evidence());
            progress.say_or_tell(&alarm.line(), &Event::Alarm(alarm));
        }
        let interventions = alarms.iter().filter_map(|alarm| match alarm.action {
            Action::Warn => None,
            Action::Stop => Some(Intervention::Stop),
            Action::LowerRate => Some(Intervention::ScaleRate(self.config.rate_factor)),
            Action::Mitigate => Some(Intervention::Anchor(self.config.anchor)),
        });
        Ok(interventions.collect())
    }
}

/// Where and when a stage writes checkpoints.
pub struct Saver<'a> {
    pub run: &'a Path,
    pub config: Checkpoints,
    pub interrupt: &'a Interrupt,
    /// What is the same in all checkpoints of the stage.
    pub state: State,
    /// Hash of the stage's examples.
    pub examples: String,
    /// log π_ref of the stage's pairs.
    pub reference: Option<Tensor>,
}

impl Saver<'_> {
    /// Whether the stage has a checkpoint of this moment.
    fn has(&self, course: &Course) -> bool {
        let Study { stages, .. } = &self.state.identity.study;
        let name = checkpoint::name(self.state.stage, &stages[self.state.stage].name, Some(course.step));
        self.run.join(CHECKPOINTS).join(name).exists()
    }

    /// What the numbers of the stage's examples count.
    fn source(&self) -> String {
        let Study { stages, data, .. } = &self.state.identity.study;
        let stage = &stages[self.state.stage];
        let file = stage.text.as_ref().or(data.train.as_ref());
        let of = file.map(|file| format!(" of {}", file.display())).unwrap_or_default();
        let what = if stage.is_pretrain() { "blocks of the text" } else { "lines" };
        format!("examples are {what}{of}, from 0")
    }
}

/// What can be done about a stage that a number has ended which is not finite.
pub fn go_on_from(checkpoint: &Path, stage: &str) -> String {
    let folder = checkpoint.display();
    format!(
        "{folder} is the run before that: go on from there with a smaller rate, --resume={folder} --set \
         stages.{stage}.learning_rate=RATE, or a smaller max_grad_norm"
    )
}

/// Tells scripts of a checkpoint.
pub fn tell_checkpoint(progress: &Progress, state: &State, folder: &Path) {
    progress.tell(&Event::Checkpoint {
        stage: &state.identity.study.stages[state.stage].name,
        step: state.position.as_ref().map(|position| position.course.step),
        folder,
        bytes: files::bytes(folder),
    });
}

/// Writes what a stage reports.
pub struct Recorder<'a> {
    pub progress: &'a Progress,
    pub bar: StageBar,
    pub probes: &'a [TokenizedRecord],
    pub journal: &'a mut Journal,
    pub board: Option<Board>,
    pub gauge: Option<Gauge<'a>>,
    pub watch: Option<Watch<'a>>,
    /// The best probe so far, where the stage ends at it.
    pub best: Option<Best<'a>>,
    pub saver: Saver<'a>,
    /// Optimiser steps of the stage.
    pub steps: usize,
    /// The last step.
    pub at: Moment,
    pub stopped_by: Option<Rule>,
    /// Whether a step was not taken because it was not finite.
    pub halted: bool,
    pub clock: Clock,
}

/// Wall seconds of a stage.
pub struct Clock {
    since: Instant,
    /// Of training and probing, before `since`.
    before: [f64; 2],
    probing: f64,
}

impl Clock {
    /// Goes on from seconds of training and probing.
    pub fn after(before: [f64; 2]) -> Self {
        Self { since: Instant::now(), before, probing: 0.0 }
    }

    /// Seconds of training and probing.
    pub fn seconds(&self) -> [f64; 2] {
        let [training, probing] = self.before;
        [training + self.since.elapsed().as_secs_f64() - self.probing, probing + self.probing]
    }
}

impl Recorder<'_> {
    /// Hands alarms on, and remembers the one that stops the stage.
    fn raise(&mut self, alarms: &[AlarmRow]) -> Result<Vec<Intervention>> {
        let stops = |a: &&AlarmRow| a.action == Action::Stop;
        self.stopped_by = self.stopped_by.or(alarms.iter().find(stops).map(|a| a.rule));
        match (&self.watch, &mut self.journal.watch) {
            (Some(watch), Some([_, writer])) if !alarms.is_empty() => {
                watch.raise(alarms, writer, self.progress)
            }
            _ => Ok(Vec::new()),
        }
    }

    /// How the stage ended. A number that is not finite is an alarm, where the monitor is on, and an
    /// error otherwise.
    pub fn after(&mut self, trained: Result<End>) -> Result<End> {
        let Err(error) = trained else { return trained };
        let Some(found) = error.downcast_ref::<NotFinite>() else { return Err(error) };
        let what = match self.halted {
            true => {
                let (step, source) = (self.at.step + 1, self.saver.source());
                format!("step {step}: {found} ({source}); no weight was changed")
            }
            false => found.to_string(),
        };
        let Some(watch) = &mut self.watch else {
            let newest = checkpoint::list(self.saver.run)?.pop();
            let stage = &self.saver.state.identity.study.stages[self.saver.state.stage].name;
            let advice = newest.map(|folder| format!("; {}", go_on_from(&folder, stage)));
            return Err(NotFinite(what + &advice.unwrap_or_default()).into());
        };
        let alarm = watch.monitor.not_finite(self.at, &what);
        self.raise(&[alarm])?;
        Ok(End::Stopped)
    }

    fn save(&mut self, model: &Model, course: &Course, optimizer: &Optimizer) -> Result<PathBuf> {
        let last_look = self.gauge.as_ref().map(Gauge::last_look);
        let peak = self.best.as_ref().and_then(Best::found);
        let [train_seconds, probe_seconds] = self.clock.seconds();
        let state = State {
            lengths: self.journal.sync()?,
            position: Some(Position {
                course: *course,
                optimizer_steps: optimizer.steps(),
                examples: self.saver.examples.clone(),
                gauge_step: last_look.map(|(step, _)| step),
                peak: peak.map(|(standing, _)| standing.clone()),
                monitor: self.watch.as_ref().map(|watch| watch.monitor.state().clone()),
                train_seconds,
                probe_seconds,
            }),
            ..self.saver.state.clone()
        };
        let mut tensors = checkpoint::weights("model", model);
        let [second, first] = optimizer.averages();
        for (prefix, averages) in [("optimizer.second", second), ("optimizer.first", first)] {
            let named = model.parameters().zip(averages);
            tensors.extend(named.map(|((name, _), t)| (format!("{prefix}.{name}"), t.clone())));
        }
        // A look at this very step was at the weights as they are.
        if let Some((_, start)) = last_look.filter(|(step, _)| *step != course.step) {
            tensors.extend(checkpoint::weights("gauge", start));
        }
        if let Some((_, weights)) = peak.filter(|(standing, _)| standing.peak.step != course.step) {
            tensors.extend(checkpoint::weights("peak", weights));
        }
        tensors.extend(self.saver.reference.clone().map(|logps| ("reference".to_owned(), logps)));
        let folder = checkpoint::save(self.saver.run, &state, tensors)?;
        tell_checkpoint(self.progress, &state, &folder);
        checkpoint::prune(self.saver.run, self.saver.config.save_total_limit)?;
        Ok(folder)
    }
}

impl train::Observer for Recorder<'_> {
    fn probe(&mut self, model: &Model, when: &When) -> Result<Vec<Intervention>> {
        let started = Instant::now();
        let rows = probe::sweep(model, self.probes, Some(when))?;
        info!(
            step = when.step,
            examples = when.examples_seen,
            rows = rows.len(),
            chosen = probe::mean_logp(&rows, "chosen").map(log::rounded),
            rejected = probe::mean_logp(&rows, "rejected").map(log::rounded),
            seconds = log::seconds(started),
            "probed"
        );
        self.journal.probes.write_all(&rows)?;
        if let Some(board) = &mut self.board {
            board.probed(&rows)?;
        }
        let mut alarms = Vec::new();
        if let (Some(watch), Some([writer, _])) = (&mut self.watch, &mut self.journal.watch) {
            let answers = match watch.monitor.watched() {
                Watched::Text => Vec::new(),
                _ => {
                    let (most, tokens) = (watch.config.answers, watch.config.answer_tokens);
                    probe::answers(model, watch.tokenizer, self.probes, most, when, tokens)?
                }
            };
            writer.write_all(&answers)?;
            alarms = watch.monitor.probe(moment(when), &rows, &answers);
        }
        let squeeze = self.watch.as_ref().and_then(|watch| watch.monitor.squeeze_index());
        self.bar.probed(when, &rows, squeeze, log::seconds(started));
        let mut interventions = Vec::new();
        if let Some(best) = &mut self.best {
            interventions = best.probe(model, when, &rows)?;
        }
        self.clock.probing += started.elapsed().as_secs_f64();
        interventions.extend(self.raise(&alarms)?);
        Ok(interventions)
    }

    fn step(
        &mut self,
        model: &Model,
        when: &When,
        metrics: &Metrics,
        steps: usize,
    ) -> Result<Vec<Intervention>> {
        self.at = moment(when);
        // Who looks at a run while it goes on sees every step.
        self.journal.metrics.write_all(std::slice::from_ref(metrics))?;
        if let Some(board) = &mut self.board {
            board.stepped(metrics)?;
        }
        let mut alarms = Vec::new();
        if let Some(watch) = &mut self.watch {
            alarms = watch.monitor.step(metrics);
        }
        self.bar.stepped(metrics, steps);
        if let (Some(gauge), Some(writer)) = (&mut self.gauge, &mut self.journal.gauge) {
            let started = Instant::now();
            let rows = gauge.after_step(model, when, steps)?;
            writer.write_all(&rows)?;
            if let Some(watch) = &mut self.watch {
                alarms.extend(watch.monitor.gauge(&rows));
            }
            self.clock.probing += started.elapsed().as_secs_f64();
        }
        self.raise(&alarms)
    }

    fn halted(&mut self, model: &Model, course: &Course, optimizer: &Optimizer) -> Result<()> {
        self.halted = true;
        // One of this moment that is there says the same; nobody can go on from weights that are not finite.
        if !self.saver.has(course)
            && model.is_finite()?
            && let Err(error) = self.save(model, course, optimizer)
        {
            // What halted the stage matters more.
            self.progress.warn(&format!("{error:#}"));
        }
        Ok(())
    }

    fn between(&mut self, model: &Model, course: &Course, optimizer: &Optimizer) -> Result<()> {
        // The end of the stage has a checkpoint of its own.
        if course.is_over() || course.step == self.steps {
            return Ok(());
        }
        let every = self.saver.config.save_steps;
        let due = every > 0 && course.step > 0 && course.step.is_multiple_of(every);
        let signal = self.saver.interrupt.signal();
        if let Some(signal) = signal {
            info!(signal, step = course.step, "a signal ends the run");
        }
        if due || signal.is_some() {
            let checkpoint = self.save(model, course, optimizer)?;
            if let Some(signal) = signal {
                return Err(Interrupted { signal, checkpoint }.into());
            }
        }
        Ok(())
    }
}

fn moment(when: &When) -> Moment {
    Moment { step: when.step, examples_seen: when.examples_seen }
}
