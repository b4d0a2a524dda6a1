//! Events as columns: one per field, `None` as null. The names are those of [`Event`], process keys
//! as two columns, so that anything that reads Parquet can read them.

use polars::prelude::{
    BinaryChunked, BooleanChunked, Column, DataFrame, DataType, Int32Chunked, Int64Chunked,
    IntoColumn, ListBuilderTrait, ListChunked, ListStringChunkedBuilder, NewChunkedArray,
    PolarsError, PolarsResult, StringChunked, UInt32Chunked, UInt64Chunked,
};
use pyti_trace::event::{Event, Frame, Incomplete, ProcessKey};

use super::credentials;
use crate::schema::{kind_name, kind_named};

/// The events as a frame, in their order.
pub(super) fn frame(events: &[Event]) -> PolarsResult<DataFrame> {
    macro_rules! column {
        ($chunked:ident, $name:literal, $get:expr) => {
            $chunked::from_iter_options($name.into(), events.iter().map($get)).into_column()
        };
    }
    let mut columns: Vec<Column> = vec![
        column!(StringChunked, "kind", |e| Some(kind_name(e.kind))),
        column!(UInt64Chunked, "time_ns", |e| Some(e.time_ns)),
        column!(UInt32Chunked, "cpu", |e| Some(e.cpu)),
        column!(UInt64Chunked, "seq", |e| Some(e.seq)),
        column!(UInt32Chunked, "process_tgid", |e| Some(e.process.tgid)),
        column!(UInt64Chunked, "process_start_ns", |e| Some(
            e.process.start_ns
        )),
        column!(UInt32Chunked, "tid", |e| Some(e.tid)),
        column!(UInt32Chunked, "parent_tgid", |e| Some(e.parent.tgid)),
        column!(UInt64Chunked, "parent_start_ns", |e| Some(
            e.parent.start_ns
        )),
        column!(UInt32Chunked, "tree", |e| Some(e.tree)),
        column!(UInt32Chunked, "uid", |e| Some(e.uid)),
        column!(UInt64Chunked, "caps", |e| Some(e.caps)),
        column!(StringChunked, "comm", |e| Some(e.comm.as_str())),
        column!(Int64Chunked, "result", |e| e.outcome()),
        column!(UInt32Chunked, "incomplete", |e| Some(e.incomplete.bits())),
        column!(UInt64Chunked, "since_ns", |e| e.since_ns),
        column!(StringChunked, "path", |e| e.path.as_deref()),
        column!(StringChunked, "asked", |e| e.asked.as_deref()),
        column!(StringChunked, "target", |e| e.target.as_deref()),
        column!(UInt64Chunked, "flags", |e| e.flags),
        column!(UInt32Chunked, "mode", |e| e.mode),
        events
            .iter()
            .map(|e| e.created)
            .collect::<BooleanChunked>()
            .with_name("created".into())
            .into_column(),
        column!(UInt64Chunked, "bytes", |e| e.bytes),
        column!(UInt64Chunked, "dev", |e| e.dev),
        column!(UInt64Chunked, "inode", |e| e.inode),
        column!(UInt32Chunked, "nlink", |e| e.nlink),
        column!(BinaryChunked, "data", |e| e.data.as_deref()),
        texts("argv", events, |e| e.argv.as_deref()),
        texts("env", events, |e| e.env.as_deref()),
        column!(StringChunked, "cwd", |e| e.cwd.as_deref()),
        column!(UInt32Chunked, "other_tgid", |e| e
            .other
            .map(|other| other.tgid)),
        column!(UInt64Chunked, "other_start_ns", |e| e
            .other
            .map(|other| other.start_ns)),
        column!(Int32Chunked, "exit_code", |e| e.exit_code),
        column!(UInt32Chunked, "signal", |e| e.signal),
        column!(Int32Chunked, "fd_old", |e| e.fds.map(|fds| fds.0)),
        column!(Int32Chunked, "fd_new", |e| e.fds.map(|fds| fds.1)),
        column!(UInt32Chunked, "family", |e| e.family.map(u32::from)),
        column!(UInt32Chunked, "socktype", |e| e.socktype.map(u32::from)),
        column!(StringChunked, "addr", |e| e.addr.as_deref()),
        column!(UInt32Chunked, "port", |e| e.port.map(u32::from)),
        frames("python_file", events, |frame| frame.file.clone()),
        frames("python_line", events, |frame| {
            frame.line.map_or(String::new(), |line| line.to_string())
        }),
        frames("python_function", events, |frame| frame.function.clone()),
    ];
    columns.extend(credentials::columns(events));
    DataFrame::new(events.len(), columns)
}

fn texts(name: &str, events: &[Event], get: impl Fn(&Event) -> Option<&[String]>) -> Column {
    let mut builder = ListStringChunkedBuilder::new(name.into(), events.len(), events.len());
    for event in events {
        match get(event) {
            Some(list) => builder.append_values_iter(list.iter().map(String::as_str)),
            None => builder.append_null(),
        }
    }
    builder.finish().into_column()
}

/// One text for each frame of the Python stacks.
fn frames(name: &str, events: &[Event], get: impl Fn(&Frame) -> String) -> Column {
    let mut builder = ListStringChunkedBuilder::new(name.into(), events.len(), events.len());
    for event in events {
        match &event.python {
            Some(stack) => {
                let texts: Vec<String> = stack.iter().map(&get).collect();
                builder.append_values_iter(texts.iter().map(String::as_str));
            }
            None => builder.append_null(),
        }
    }
    builder.finish().into_column()
}

/// The events of a frame.
pub(super) fn events(frame: &DataFrame) -> PolarsResult<Vec<Event>> {
    macro_rules! column {
        ($as:ident, $name:literal) => {
            frame.column($name)?.$as()?
        };
    }
    let kind = column!(str, "kind");
    let time_ns = column!(u64, "time_ns");
    let cpu = column!(u32, "cpu");
    let seq = column!(u64, "seq");
    let process = (
        column!(u32, "process_tgid"),
        column!(u64, "process_start_ns"),
    );
    let tid = column!(u32, "tid");
    let parent = (column!(u32, "parent_tgid"), column!(u64, "parent_start_ns"));
    let tree = column!(u32, "tree");
    let uid = column!(u32, "uid");
    let caps = column!(u64, "caps");
    let comm = column!(str, "comm");
    let result = column!(i64, "result");
    let incomplete = column!(u32, "incomplete");
    let path = column!(str, "path");
    let asked = column!(str, "asked");
    let target = column!(str, "target");
    let flags = column!(u64, "flags");
    let mode = column!(u32, "mode");
    let created = column!(bool, "created");
    let bytes = column!(u64, "bytes");
    let dev = column!(u64, "dev");
    let inode = column!(u64, "inode");
    let nlink = column!(u32, "nlink");
    let data = column!(binary, "data");
    let argv = column!(list, "argv");
    let env = column!(list, "env");
    let cwd = column!(str, "cwd");
    let other = (column!(u32, "other_tgid"), column!(u64, "other_start_ns"));
    let exit_code = column!(i32, "exit_code");
    let signal = column!(u32, "signal");
    let fds = (column!(i32, "fd_old"), column!(i32, "fd_new"));
    let family = column!(u32, "family");
    let socktype = column!(u32, "socktype");
    let addr = column!(str, "addr");
    let port = column!(u32, "port");

    let creds = credentials::read(frame)?;
    // Runs before version 4 do not say when a write began.
    let since_ns = frame.column("since_ns").ok().map(Column::u64).transpose()?;
    // Runs before version 2 have no stacks.
    let column = |name| {
        let column = frame.column(name).ok();
        column.map(Column::list).transpose()
    };
    let python = (
        column("python_file")?,
        column("python_line")?,
        column("python_function")?,
    );

    let text = |column: &StringChunked, i| column.get(i).map(str::to_owned);
    let small =
        |column: &UInt32Chunked, i| column.get(i).and_then(|value| u16::try_from(value).ok());
    let key = |(tgid, start): (&UInt32Chunked, &UInt64Chunked), i| {
        Some(ProcessKey {
            tgid: tgid.get(i)?,
            start_ns: start.get(i)?,
        })
    };
    (0..frame.height())
        .map(|i| {
            let bad = |what: &str| {
                PolarsError::ComputeError(format!("row {i}: bad or missing `{what}`").into())
            };
            let incomplete = incomplete
                .get(i)
                .map(Incomplete::from_bits_retain)
                .ok_or_else(|| bad("incomplete"))?;
            let unknown = incomplete.contains(Incomplete::RESULT_UNKNOWN);
            Ok(Event {
                kind: kind
                    .get(i)
                    .and_then(kind_named)
                    .ok_or_else(|| bad("kind"))?,
                time_ns: time_ns.get(i).ok_or_else(|| bad("time_ns"))?,
                cpu: cpu.get(i).ok_or_else(|| bad("cpu"))?,
                seq: seq.get(i).ok_or_else(|| bad("seq"))?,
                process: key(process, i).ok_or_else(|| bad("process"))?,
                tid: tid.get(i).ok_or_else(|| bad("tid"))?,
                parent: key(parent, i).ok_or_else(|| bad("parent"))?,
                tree: tree.get(i).ok_or_else(|| bad("tree"))?,
                uid: uid.get(i).ok_or_else(|| bad("uid"))?,
                caps: caps.get(i).ok_or_else(|| bad("caps"))?,
                comm: text(comm, i).ok_or_else(|| bad("comm"))?,
                result: result
                    .get(i)
                    .or(unknown.then_some(0))
                    .ok_or_else(|| bad("result"))?,
                incomplete,
                since_ns: since_ns.and_then(|since_ns| since_ns.get(i)),
                path: text(path, i),
                asked: text(asked, i),
                target: text(target, i),
                flags: flags.get(i),
                mode: mode.get(i),
                created: created.get(i),
                bytes: bytes.get(i),
                dev: dev.get(i),
                inode: inode.get(i),
                nlink: nlink.get(i),
                data: data.get(i).map(<[u8]>::to_vec),
                argv: list(argv, i)?,
                env: list(env, i)?,
                cwd: text(cwd, i),
                other: key(other, i),
                exit_code: exit_code.get(i),
                signal: signal.get(i),
                fds: fds.0.get(i).zip(fds.1.get(i)),
                family: small(family, i),
                socktype: small(socktype, i),
                addr: text(addr, i),
                port: small(port, i),
                creds: creds.as_ref().and_then(|creds| creds.get(i)),
                python: match python {
                    (Some(files), Some(lines), Some(functions)) => {
                        stack([files, lines, functions], i)?
                    }
                    _ => None,
                },
            })
        })
        .collect()
}

/// The Python stack of a row, from the lists of its files, lines and functions.
fn stack(columns: [&ListChunked; 3], index: usize) -> PolarsResult<Option<Vec<Frame>>> {
    let [files, lines, functions] = columns;
    let (Some(files), Some(lines), Some(functions)) = (
        list(files, index)?,
        list(lines, index)?,
        list(functions, index)?,
    ) else {
        return Ok(None);
    };
    let frames = files.into_iter().zip(lines).zip(functions);
    Ok(Some(
        frames
            .map(|((file, line), function)| Frame {
                file,
                line: line.parse().ok(),
                function,
            })
            .collect(),
    ))
}

fn list(column: &ListChunked, index: usize) -> PolarsResult<Option<Vec<String>>> {
    let Some(series) = column.get_as_series(index) else {
        return Ok(None);
    };
    if series.dtype() != &DataType::String {
        return Err(PolarsError::SchemaMismatch(
            "expected a list of texts".into(),
        ));
    }
    Ok(Some(
        series.str()?.iter().flatten().map(str::to_owned).collect(),
    ))
}

#[cfg(test)]
mod tests {
    use pyti_trace::event::Kind;

    use super::*;

    #[test]
    fn a_result_that_is_not_known_is_null() {
        let event = |incomplete| Event {
            incomplete,
            ..Event::new(Kind::Tamper, ProcessKey::default(), 1)
        };
        let all = [
            event(Incomplete::RESULT_UNKNOWN),
            event(Incomplete::empty()),
        ];
        let frame = frame(&all).unwrap();
        let results = frame.column("result").unwrap().i64().unwrap();
        assert_eq!((results.get(0), results.get(1)), (None, Some(0)));
        assert_eq!(events(&frame).unwrap(), all);
    }

    #[test]
    fn when_a_write_began_survives_and_old_runs_do_not_say() {
        let mut all = vec![Event::new(Kind::Write, ProcessKey::default(), 9); 2];
        all[1].since_ns = Some(u64::MAX);
        let frame = frame(&all).unwrap();
        assert_eq!(events(&frame).unwrap(), all);
        let names: Vec<String> = (frame.get_column_names().iter())
            .map(|name| name.to_string())
            .filter(|name| name != "since_ns")
            .collect();
        let before = frame.select(names).unwrap();
        all[1].since_ns = None;
        assert_eq!(events(&before).unwrap(), all);
    }
}
