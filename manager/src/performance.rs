//! Where the time of an audit went: what each stage used, and a picture of it.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use plotters::prelude::*;
use pyti_analyzer::facts::losses;
use pyti_analyzer::store::Loaded;
use pyti_analyzer::{StageFacts, amount, store};
use pyti_trace::event::{Family, Kind};
use serde::{Deserialize, Serialize};

/// The picture, in the run's directory.
pub const PICTURE: &str = "performance.svg";
/// Its width and the height of a stage in it, pixels.
const WIDTH: u32 = 900;
/// See [`WIDTH`].
const ROW: u32 = 34;

/// What a stage used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// Wall time, seconds.
    pub wall: f64,
    /// User and system time, seconds.
    pub cpu: f64,
    /// Peak memory, bytes.
    pub memory: u64,
    /// Bytes written to the disk that were there at the end.
    pub disk: u64,
    /// Processes that were started, as far as their events are here.
    pub processes: usize,
    /// There may have been more of them: events are missing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more_processes: bool,
}

/// What a stage of the run in `directory` used.
///
/// # Errors
/// Its events cannot be read.
pub fn usage(facts: &StageFacts, directory: &Path) -> Result<Usage> {
    let loaded = store::read(&directory.join(&facts.name), store::MAX_EVENTS)?;
    Ok(Usage {
        wall: facts.wall_ns as f64 / 1e9,
        cpu: facts.user_us.saturating_add(facts.system_us) as f64 / 1e6,
        memory: facts.memory_peak,
        disk: facts.disk_used,
        more_processes: lacks_processes(facts, &loaded),
        processes: loaded
            .events
            .iter()
            .filter(|event| event.kind == Kind::Fork)
            .count()
            + 1,
    })
}

/// Whether an event of a process that was started may be missing.
fn lacks_processes(facts: &StageFacts, loaded: &Loaded) -> bool {
    let skipped = facts
        .counters
        .as_ref()
        .is_none_or(|counters| counters.recursion_misses > 0 || counters.untracked > 0);
    skipped
        || facts.decode_errors > 0
        || loaded.problem.is_some()
        || losses(facts, &loaded.events)[Family::Process as usize].lacks()
}

/// What all stages used, in a few words.
#[must_use]
pub fn summary(stages: &BTreeMap<String, Usage>) -> String {
    let sum = |of: fn(&Usage) -> f64| stages.values().map(of).fold(0.0, |sum, one| sum + one);
    let memory = stages.values().map(|usage| usage.memory).max();
    let mut text = format!(
        "{}, {:.1} s wall and {:.1} s CPU, at most {} MiB",
        amount(stages.len() as u64, "stage", "stages"),
        sum(|usage| usage.wall),
        sum(|usage| usage.cpu),
        memory.unwrap_or(0) >> 20
    );
    let longest = stages
        .iter()
        .max_by(|(_, one), (_, other)| one.wall.total_cmp(&other.wall));
    if let Some((stage, usage)) = longest {
        text.push_str(&format!("; the longest is {stage}, {:.1} s", usage.wall));
    }
    let lacking = stages.iter().filter(|(_, usage)| usage.more_processes);
    let lacking: Vec<&str> = lacking.map(|(stage, _)| stage.as_str()).collect();
    if !lacking.is_empty() {
        text.push_str(&format!(
            "; not all processes may be counted of {}",
            lacking.join(", ")
        ));
    }
    text
}

/// Draws wall and CPU time of the stages as bars.
///
/// # Errors
/// The disk refuses.
pub fn draw(stages: &BTreeMap<String, Usage>, path: &Path) -> Result<()> {
    let what = || format!("failed to draw {}", path.display());
    let rows = u32::try_from(stages.len())
        .unwrap_or(u32::MAX)
        .clamp(1, 200);
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (WIDTH, rows * ROW + 90)).into_drawing_area();
        area.fill(&WHITE).with_context(what)?;
        let longest = stages
            .values()
            .map(|usage| usage.wall.max(usage.cpu))
            .fold(1.0, f64::max);
        let names: Vec<&String> = stages.keys().collect();
        let mut chart = ChartBuilder::on(&area)
            .caption("Time of the stages, seconds", ("sans-serif", 18))
            .margin(10)
            .x_label_area_size(30)
            .y_label_area_size(140)
            .build_cartesian_2d(0.0..longest * 1.05, (0..rows).into_segmented())
            .with_context(what)?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .y_labels(usize::try_from(rows).unwrap_or(1))
            .y_label_formatter(&|at| match at {
                SegmentValue::CenterOf(at) => names
                    .get(*at as usize)
                    .map_or(String::new(), ToString::to_string),
                _ => String::new(),
            })
            .draw()
            .with_context(what)?;
        for (name, colour, margin, value) in [
            (
                "wall",
                BLUE.mix(0.35),
                5,
                (|usage| usage.wall) as fn(&Usage) -> f64,
            ),
            ("CPU", BLUE.mix(0.9), 11, |usage| usage.cpu),
        ] {
            let bars = (0..).zip(stages.values()).map(|(at, usage)| {
                let ends = [
                    (0.0, SegmentValue::Exact(at)),
                    (value(usage), SegmentValue::Exact(at + 1)),
                ];
                let mut bar = Rectangle::new(ends, colour.filled());
                bar.set_margin(margin, margin, 0, 0);
                bar
            });
            chart
                .draw_series(bars)
                .with_context(what)?
                .label(name)
                .legend(move |(x, y)| {
                    Rectangle::new([(x, y - 4), (x + 12, y + 4)], colour.filled())
                });
        }
        chart
            .configure_series_labels()
            .border_style(BLACK.mix(0.3))
            .background_style(WHITE)
            .position(SeriesLabelPosition::LowerRight)
            .draw()
            .with_context(what)?;
        area.present().with_context(what)?;
    }
    std::fs::write(path, svg).with_context(what)
}

#[cfg(test)]
mod tests {
    use pyti_analyzer::StageStatus;
    use pyti_trace::event::{Counters, Event, ProcessKey};

    use super::*;

    fn using(wall: f64, memory: u64) -> Usage {
        Usage {
            wall,
            cpu: 1.0,
            memory,
            disk: 0,
            processes: 1,
            more_processes: false,
        }
    }

    #[test]
    fn what_a_stage_used_is_told_by_its_facts_and_its_events() {
        let run = tempfile::tempdir().unwrap();
        let mut counters = Counters::default();
        counters.families[Family::Process as usize].seen = 4;
        let facts = StageFacts {
            counters: Some(counters),
            wall_ns: 2_500_000_000,
            user_us: 1_000_000,
            system_us: 500_000,
            memory_peak: 7,
            disk_used: 9,
            ..StageFacts::new("build", StageStatus::Completed)
        };
        assert!(usage(&facts, run.path()).is_err(), "there are no events");
        let directory = run.path().join("build");
        std::fs::create_dir(&directory).unwrap();
        let process = ProcessKey {
            tgid: 1,
            start_ns: 0,
        };
        let events = [Kind::Exec, Kind::Fork, Kind::Fork, Kind::Exit];
        let events = events.map(|kind| Event::new(kind, process, 1));
        let mut writer = store::StoreWriter::create(&directory).unwrap();
        writer.append(&events).unwrap();
        assert_eq!(writer.finish().problem, None);
        assert_eq!(
            usage(&facts, run.path()).unwrap(),
            Usage {
                wall: 2.5,
                cpu: 1.5,
                memory: 7,
                disk: 9,
                // The first one and its two children.
                processes: 3,
                more_processes: false,
            }
        );
    }

    #[test]
    fn where_events_of_processes_are_missing_there_may_have_been_more() {
        let fork = Event::new(Kind::Fork, ProcessKey::default(), 1);
        let lacks = |change: &dyn Fn(&mut StageFacts, &mut Loaded)| {
            let mut counters = Counters::default();
            counters.families[Family::Process as usize].seen = 1;
            let mut facts = StageFacts::new("build", StageStatus::Completed);
            facts.counters = Some(counters);
            let mut loaded = Loaded {
                events: vec![fork.clone()],
                problem: None,
            };
            change(&mut facts, &mut loaded);
            lacks_processes(&facts, &loaded)
        };
        assert!(!lacks(&|_, _| {}));
        // What is lost of files says nothing of processes.
        assert!(!lacks(&|facts, _| facts.dropped[Family::File as usize] = 1));
        assert!(lacks(
            &|facts, _| facts.dropped[Family::Process as usize] = 1
        ));
        assert!(lacks(&|_, loaded| loaded.events.clear()));
        assert!(lacks(&|facts, _| facts.counters = None));
        assert!(lacks(&|facts, _| facts.decode_errors = 1));
        assert!(lacks(&|_, loaded| loaded.problem = Some("cut".to_owned())));
        assert!(lacks(&|facts, _| {
            facts.counters = facts.counters.take().map(|counters| Counters {
                untracked: 1,
                ..counters
            });
        }));
    }

    #[test]
    fn the_picture_names_each_stage_and_runs_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(PICTURE);
        let names = [
            "build",
            "install",
            "<script>alert(1)</script>",
            "a \"b\" & c",
        ];
        let stages: BTreeMap<String, Usage> = names
            .map(|name| (name.to_owned(), using(2.0, 0)))
            .into_iter()
            .collect();
        draw(&stages, &path).unwrap();
        let svg = std::fs::read_to_string(&path).unwrap();
        assert!(svg.starts_with("<svg"), "{svg}");
        assert!(!svg.contains("<script"), "{svg}");
        for name in [
            "build",
            "install",
            "&lt;script&gt;alert(1)&lt;/script&gt;",
            "a &quot;b&quot; &amp; c",
        ] {
            assert!(svg.contains(&format!("\n{name}\n")), "no {name}: {svg}");
        }
        draw(&BTreeMap::new(), &path).unwrap();
        assert!(draw(&stages, &path.join("below-a-file")).is_err());
    }

    #[test]
    fn stages_are_added_up() {
        let stages = BTreeMap::from([
            ("build".to_owned(), using(3.5, 5 << 20)),
            ("install".to_owned(), using(2.0, 9 << 20)),
        ]);
        assert_eq!(
            summary(&stages),
            "2 stages, 5.5 s wall and 2.0 s CPU, at most 9 MiB; the longest is build, 3.5 s"
        );
        assert_eq!(
            summary(&BTreeMap::new()),
            "0 stages, 0.0 s wall and 0.0 s CPU, at most 0 MiB"
        );
        let mut lacking = using(2.0, 0);
        lacking.more_processes = true;
        let stages = BTreeMap::from([("test".to_owned(), lacking)]);
        assert_eq!(
            summary(&stages),
            "1 stage, 2.0 s wall and 1.0 s CPU, at most 0 MiB; the longest is test, 2.0 s; \
             not all processes may be counted of test"
        );
    }
}
