use super::*;

fn read(text: &str) -> Vec<Environment> {
    environments(text, PythonVersion::TEST)
}

/// What becomes of the commands of a session `s` with this body, each in one line: `?` before it where it
/// is not known whether it is run, `-` where it is known that it is not.
fn commands(body: &str) -> Vec<String> {
    let found = read(&format!("def tests(s):\n{body}")).remove(0);
    let commands = found.commands.iter().enumerate();
    let shown = commands.map(|(at, words)| {
        let mark = match found.doubts.get(&at).map(|doubt| doubt.block) {
            None => "",
            Some(Some(_)) => "?",
            Some(None) => "-",
        };
        format!("{mark}{}", words.join(" "))
    });
    shown.collect()
}

/// Why the first command of a session is not run always.
fn why(body: &str) -> Option<String> {
    let found = read(&format!("def tests(s):\n{body}")).remove(0);
    found.doubts.get(&0).map(|doubt| doubt.why.clone())
}

#[test]
fn calls_are_read_where_they_are_written_out() {
    let found = read(
        "import nox\n\n@nox.session\ndef lint(session):\n    session.install('ruff')\n\n\
        @nox.session(python=['3.12'])\ndef tests(s: nox.Session) -> None:\n    s.install(\n        '-r', \"req.txt\",  # all, of them\n        'a' '>=1', f'b=={v}', silent=True)\n\
        \x20   s.install(*nox.project.dependency_groups(PYPROJECT, 'test'))\n\
        \x20   s.run('pytest', *(s.posargs or ['tests']), env={'A': ')'})\n    other.run('no')\n\
        \x20   s.run_install('uv', 'sync', '--extra', 'x', '--group=y')\n",
    );
    let tests = &found[0];
    assert_eq!(tests.origin, "noxfile.py tests");
    assert_eq!(
        tests.installs,
        [
            vec!["-r", "req.txt", "a>=1"],
            vec![],
            vec![".[x]", "--group", "y"]
        ]
    );
    assert_eq!(tests.commands, [["A=)", "pytest", "tests"]]);
    assert_eq!(tests.groups, ["test"]);
    assert_eq!(
        tests.skipped,
        ["1 of install is not written out in tests of noxfile.py"]
    );
    assert_eq!(found[1].installs, [["ruff"]]);
}

#[test]
fn calls_in_blocks_are_run_where_the_blocks_are() {
    for (body, expected) in [
        (
            "    with open('x') as f:\n        s.run('a')\n    try:\n        s.run('b')\n    \
            except OSError:\n        s.run('c')\n    else:\n        s.run('d')\n    finally:\n        \
            s.run('e')\n",
            &["a", "b", "-c", "d", "e"][..],
        ),
        (
            "    if s.posargs:\n        s.run('a')\n    else:\n        s.run('b')\n    s.run('c')\n",
            &["-a", "b", "c"],
        ),
        (
            "    if sys.platform == 'win32':\n        s.run('a')\n    elif not s.posargs: s.run('b')\n    \
            elif CI:\n        s.run('c')\n    else:\n        s.run('d')\n",
            &["-a", "b", "-c", "-d"],
        ),
        (
            "    if CI:\n        s.run('a')\n        if not s.posargs:\n            s.run('b')\n    \
            elif s.posargs:\n        s.run('c')\n    else:\n        s.run('d')\n",
            &["?a", "?b", "-c", "?d"],
        ),
        (
            "    for path in ['x', 'y']:\n        s.run('a', path)\n        s.run('b', f'{path}/z')\n",
            &["a x", "b x/z", "a y", "b y/z"],
        ),
        (
            "    for path in paths:\n        s.run('a', path)\n",
            &["?a"],
        ),
        (
            "    while True:\n        s.run('a')\n    s.run('b')\n",
            &["?a", "b"],
        ),
        (
            "    def f():\n        s.run('a')\n    s.run('b') if x else None\n    CI and s.run('c')\n    \
            [s.run('d', p) for p in x]\n    s.run('e', 'f' if x else 'g')\n",
            &["?a", "?b", "?c", "?d", "e"],
        ),
        (
            "    if not s.posargs:\n        s.run('a')\n        return\n    s.run('b')\n",
            &["a", "-b"],
        ),
        (
            "    if CI:\n        s.skip('no')\n    s.run('a')\n    s.error('x')\n    s.run('b')\n",
            &["a", "-b"],
        ),
        (
            "    s.run('a')  # b or c\n    s.run('d',\n        'e'  # don't\n    )\n",
            &["a", "d e"],
        ),
        (
            "    args = s.posargs or ['x']\n    s.run('a', *args)\n    if CI:\n        more = 'y'\n    \
            s.run('b', more)\n",
            &["a x", "b"],
        ),
    ] {
        // What is not written out within a call is told elsewhere.
        let found: Vec<String> = commands(body)
            .iter()
            .map(|command| command.trim_end().to_owned())
            .collect();
        assert_eq!(found, expected, "{body}");
    }
}

#[test]
fn loops_and_their_rounds_end_where_that_is_written_out() {
    for (body, expected) in [
        (
            "    for p in ['x', 'y', 'z']:\n        if p == 'y':\n            continue  # why\n        \
            s.run('a', p)\n    else:\n        s.run('b')\n",
            &["a x", "-a y", "a z", "b"][..],
        ),
        (
            "    for p in ['x', 'y', 'z']:\n        if p == 'y': break\n        s.run('a', p)\n    else:\n        \
            s.run('b')\n    s.run('c')\n",
            &["a x", "-a y", "-a z", "-b", "c"],
        ),
        (
            "    for p in ['x', 'y']:\n        for q in ['1', '2', '3']:\n            if q == '2': break\n            \
            s.run('a', p, q)\n        s.run('b', p)\n",
            &[
                "a x 1", "-a x 2", "-a x 3", "b x", "a y 1", "-a y 2", "-a y 3", "b y",
            ],
        ),
        (
            "    for p in ['x', 'y']:\n        try:\n            break\n        finally:\n            \
            s.run('a', p)\n",
            &["a x", "-a y"],
        ),
        (
            "    for p in ['x', 'y']:\n        s.run('a', p)\n        return\n    s.run('b')\n",
            &["a x", "-a y", "-b"],
        ),
        (
            "    if CI:\n        for p in ['x', 'y']:\n            s.run('a', p)\n            break\n    \
            s.run('b')\n",
            &["?a x", "-a y", "b"],
        ),
        (
            "    while True:\n        s.run('a')\n        break\n        s.run('b')\n    s.run('c')\n",
            &["?a", "-b", "c"],
        ),
    ] {
        assert_eq!(commands(body), expected, "{body}");
    }
}

#[test]
fn what_only_running_it_would_tell_ends_no_loop() {
    let found = read(
        "def tests(s):\n    for p in ['x', 'y']:\n        if CI: continue\n        s.run('a', p)\n        \
        if s.posargs: break\n        if CI:\n            break\n",
    )
    .remove(0);
    let commands: Vec<String> = found.commands.iter().map(|words| words.join(" ")).collect();
    assert_eq!(commands, ["a x", "a y"]);
    assert!(found.doubts.is_empty());
    let why = "only running it would tell what `if CI` comes to";
    let note = |word: &str| format!("`{word}` in tests of noxfile.py is not followed: {why}");
    assert_eq!(found.skipped, [note("continue"), note("break")]);
}

#[test]
fn it_is_told_why_a_call_is_not_run() {
    let long = "x".repeat(100);
    for (body, expected) in [
        (
            "    if  CI:  # why\n        s.run('a')\n",
            "only running it would tell what `if CI` comes to",
        ),
        (
            "    if s.posargs: s.run('a')\n",
            "`if s.posargs` does not hold here",
        ),
        (
            "    if not s.posargs:\n        pass\n    else:\n        s.run('a')\n",
            "`if not s.posargs` holds here",
        ),
        (
            "    for a in b:\n        s.run('a')\n",
            "only running it would tell how often `for a in b` is done",
        ),
        (
            "    def f(): s.run('a')\n",
            "only running it would tell whether `def f()` is done",
        ),
        (
            "    try:\n        pass\n    except A: s.run('a')\n",
            "`except A` is for errors",
        ),
        ("    return\n    s.run('a')\n", "the session ends before it"),
        (
            "    for a in ['b']:\n        break\n        s.run('a')\n",
            "`break` ends the loop before it",
        ),
        (
            "    for a in ['b']:\n        continue\n        s.run('a')\n",
            "`continue` ends the round of the loop before it",
        ),
    ] {
        assert_eq!(why(body).as_deref(), Some(expected));
    }
    let told = why(&format!("    if {long}:\n        s.run('a')\n")).unwrap();
    assert!(
        told.contains(&format!("`if {}…`", &long[..BRIEF - 3])),
        "{told}"
    );
    assert_eq!(why("    s.run('a')\n"), None);
}

#[test]
fn names_of_the_file_and_its_version_of_python_are_known() {
    let found = read(
        "PYTHONS = ['3.9', '3.13']\nPATHS = ['x', 'y']\n\n@nox.session(python=PYTHONS)\n\
        @nox.parametrize('a', ['b'])\ndef tests(session, a):\n    for path in PATHS:\n        \
        session.run('pytest', path)\n    if session.python == '3.13':\n        session.run('pytest', 'z')\n    \
        if session.python == '3.9':\n        session.run('pytest', 'no')\n    if a == 'b':\n        \
        session.run('pytest', a)\n\n@nox.session(python='3.9')\ndef old(session):\n    \
        if session.python == '3.9':\n        session.run('pytest')\n",
    );
    let of = |at: usize| -> Vec<String> {
        found[at]
            .commands
            .iter()
            .map(|words| words.join(" "))
            .collect()
    };
    assert_eq!(
        of(0),
        ["pytest x", "pytest y", "pytest z", "pytest no", "pytest"]
    );
    let doubts = |at: usize| -> Vec<(usize, bool)> {
        let doubts = found[at].doubts.iter();
        doubts
            .map(|(at, doubt)| (*at, doubt.block.is_some()))
            .collect()
    };
    assert_eq!(doubts(0), [(3, false), (4, true)]);
    // Here it is run by another Python than the one that it is for.
    assert_eq!(doubts(1), [(0, true)]);
}

#[test]
fn what_is_installed_is_read_unless_it_is_known_not_to_be() {
    let found = read(
        "def tests(s):\n    for name in ('a', 'b'):\n        s.install(name, where)\n    if CI:\n        \
        s.install('c')\n    if s.posargs:\n        s.install('d', x)\n        s.env['A'] = 'b'\n    \
        s.run('pytest')\n",
    )
    .remove(0);
    assert_eq!(found.installs, [["a"], ["b"], ["c"]]);
    let note = "1 of install is not written out in tests of noxfile.py";
    assert_eq!(found.skipped, [note]);
    assert!(found.variables.set.is_empty());
}

#[test]
fn what_commands_install_is_read_too() {
    let found = read(
        "def tests(s):\n    s.run('pip', 'install', '-r', 'a.txt')\n    \
        s.run_always('python', '-m', 'pip', 'install', 'b')\n    if s.posargs:\n        \
        s.run('pip', 'install', 'c')\n    s.run('uv', 'sync', '--no-group=d', '--all-extras')\n    \
        s.run('pip', 'list')\n    s.run_install('uv', 'run', 'pytest')\n",
    )
    .remove(0);
    assert_eq!(found.installs, [vec!["-r", "a.txt"], vec!["b"]]);
    let commands: Vec<String> = found.commands.iter().map(|words| words.join(" ")).collect();
    assert_eq!(commands, ["pip list", "uv run pytest"]);
    assert!(found.doubts.is_empty());
    assert_eq!(found.synced.defaults, Some(vec!["d".to_owned()]));
    assert!(found.synced.all_extras);
}

#[test]
fn commands_are_run_where_the_directory_was_changed_to() {
    let found = read(
        "def tests(s):\n    s.run('a')\n    with s.chdir('x'):\n        s.run('b')\n        s.cd('y')\n        \
        s.run('c')\n    s.run('d')\n    if CI:\n        s.chdir('z')\n    s.run('e')\n    s.chdir('/f')\n    \
        s.run('g')\n",
    )
    .remove(0);
    let directories: Vec<&str> = (0..found.commands.len())
        .map(|at| found.directory_of(at))
        .collect();
    assert_eq!(directories, ["", "x", "x/y", "", "", "/f"]);
    assert_eq!(
        found.skipped,
        [
            "the change of the directory in tests of noxfile.py is not followed: only running it would tell \
            what `if CI` comes to"
        ]
    );
}

#[test]
fn a_session_is_what_stands_in_its_block() {
    let found = read(
        "a = 'x'\n\ndef tests(\r\n  s, a):\n    s.log('''\nb\n''')\n    s.run('pytest', a)\n\n\
        @nox.session(python='3.13')\ndef c(s):\n    s.run('pytest', a)\n",
    );
    let commands = found.iter().map(|found| found.commands[0].join(" "));
    let commands: Vec<String> = commands.collect();
    // What a session is given is not what the file calls so.
    assert_eq!(commands, ["pytest", "pytest x"]);
}

#[test]
fn what_loops_and_directories_come_to_is_bounded() {
    let long = "x".repeat(4000);
    let many = "*B, ".repeat(50);
    let found = read(&format!(
        "A = '{long}'\nB = [A]\ndef tests(s):\n    for a in ['c', 'd']:\n        s.run('pytest', {many})\n"
    ))
    .remove(0);
    assert_eq!(found.commands.len(), 1);
    let note = "not all that tests of noxfile.py does is read: it is too much";
    assert_eq!(found.skipped, [note]);
    let found = read(&format!(
        "def tests(s):\n    s.chdir('{long}')\n    s.chdir('{long}')\n    s.run('a')\n"
    ))
    .remove(0);
    assert_eq!(found.directory_of(0), long);
    let end = " is not followed: it is too long";
    assert!(found.skipped[0].ends_with(end), "{:?}", found.skipped);
}

#[test]
fn loops_in_loops_come_to_an_end() {
    let many = "'x', ".repeat(90);
    let mut body = String::new();
    for depth in 1..10 {
        let indent = " ".repeat(4 * depth);
        body.push_str(&format!("{indent}for a{depth} in [{many}]:\n"));
    }
    let found = commands(&format!("{body}{}s.run('pytest')\n", " ".repeat(40)));
    assert!(!found.is_empty() && found.len() <= MOST, "{}", found.len());
}
