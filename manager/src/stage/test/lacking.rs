//! Further commands of tests whose framework could not be had.

use pyti_graph::{Failure, Inputs};

use crate::stage::test_plan::TestPlan;
use crate::tasks;

/// What each command of a plan lacks of its framework, in their order; one that lacks something is not
/// run by this stage. The first one lacks nothing: what it needs was had, or else the stage is not run.
pub(in crate::stage) fn lacking(
    stage: &str,
    inputs: &Inputs,
    plan: &TestPlan,
) -> Result<Vec<Option<String>>, Failure> {
    let mut lacking = vec![None];
    if !plan.further.is_empty() {
        let tools = tasks::fetched_tools(inputs, stage)?;
        let further = plan.further.iter();
        lacking.extend(further.map(|run| run.lacks(&tools).map(str::to_owned)));
    }
    Ok(lacking)
}

/// How many commands are run.
pub(in crate::stage) fn runs(lacking: &[Option<String>]) -> usize {
    lacking.iter().filter(|lacks| lacks.is_none()).count()
}

#[cfg(test)]
mod tests {
    use pyti_graph::Datum;

    use super::super::tests::{plan, run};
    use super::*;
    use crate::stage::test_plan::Framework;
    use crate::tasks::FetchedTools;

    #[test]
    fn only_what_a_further_command_requires_is_lacking() {
        let missing = |missing: &[&str]| {
            let tools = FetchedTools {
                missing: missing.iter().map(|&text| text.to_owned()).collect(),
                ..FetchedTools::default()
            };
            let tools = ("tools.test".into(), Datum::of(&tools).unwrap());
            Inputs::from_iter([tools])
        };
        let mut plan = plan(Framework::Pytest);
        // With nothing to follow nothing is asked.
        let none = lacking("test", &Inputs::from_iter([]), &plan).unwrap();
        assert_eq!(none, [None::<String>]);
        plan.further = [Framework::Nose2, Framework::Unittest].map(run).to_vec();
        plan.further[0].requires = vec!["nose2".to_owned()];
        let of = |inputs: &Inputs| lacking("test", inputs, &plan).unwrap();
        let all = of(&missing(&["hypothesis"]));
        assert_eq!((all.clone(), runs(&all)), (vec![None; 3], 3));
        let less = of(&missing(&["hypothesis", "nose2"]));
        assert_eq!(less, [None, Some("nose2".to_owned()), None]);
        assert_eq!(runs(&less), 2);
    }
}
