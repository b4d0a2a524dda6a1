//! The Parquet file, by polars.

use std::fs::File;
use std::path::{Path, PathBuf};

use polars::io::parquet::write::BatchedWriter;
use polars::prelude::{
    KeyValueMetadata, ParquetCompression, ParquetReader, ParquetWriter, PolarsError, SerReader,
};
use pyti_trace::event::{Event, SCHEMA_VERSION};

use super::{Budget, Loaded, StoreError, columns, io_error};
use crate::open_regular;

/// Key of the schema version in the file's own metadata.
const VERSION_KEY: &str = "pyti.event_schema";

pub(super) struct Writer {
    path: PathBuf,
    file: File,
    writer: BatchedWriter<File>,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

fn parquet_error<'p>(
    what: &'static str,
    path: &'p Path,
) -> impl Fn(PolarsError) -> StoreError + use<'p> {
    move |error| StoreError::Parquet {
        what,
        path: path.to_owned(),
        message: error.to_string(),
    }
}

impl Writer {
    pub(super) fn create(path: &Path) -> Result<Self, StoreError> {
        let failed = parquet_error("write", path);
        let file = File::create(path).map_err(io_error("create", path))?;
        let handle = file.try_clone().map_err(io_error("create", path))?;
        let metadata =
            KeyValueMetadata::from_static(vec![(VERSION_KEY.into(), SCHEMA_VERSION.to_string())]);
        let schema = columns::frame(&[])
            .map_err(&failed)?
            .schema()
            .as_ref()
            .clone();
        let writer = ParquetWriter::new(file)
            .with_compression(ParquetCompression::Zstd(None))
            .with_key_value_metadata(Some(metadata))
            .batched(&schema)
            .map_err(failed)?;
        Ok(Self {
            path: path.to_owned(),
            file: handle,
            writer,
        })
    }

    pub(super) fn write(&mut self, events: &[Event]) -> Result<(), StoreError> {
        let failed = parquet_error("write", &self.path);
        let frame = columns::frame(events).map_err(&failed)?;
        self.writer.write_batch(&frame).map_err(failed)
    }

    pub(super) fn finish(self) -> Result<(), StoreError> {
        self.writer
            .finish()
            .map_err(parquet_error("finish", &self.path))?;
        self.file.sync_all().map_err(io_error("sync", &self.path))
    }
}

pub(super) fn read(path: &Path, budget: &mut Budget) -> Result<Loaded, StoreError> {
    let failed = parquet_error("read", path);
    let refuse = |message: String| StoreError::Parquet {
        what: "read",
        path: path.to_owned(),
        message,
    };
    let file = open_regular(path).map_err(io_error("open", path))?;
    let mut reader = ParquetReader::new(file);
    let metadata = reader.get_metadata().map_err(&failed)?.clone();
    let version = metadata
        .key_value_metadata()
        .iter()
        .flatten()
        .find(|pair| pair.key == VERSION_KEY)
        .and_then(|pair| pair.value.as_deref())
        .and_then(|value| value.parse::<u32>().ok())
        .ok_or_else(|| refuse("it does not say the version of its events".to_owned()))?;
    if version > SCHEMA_VERSION {
        return Err(refuse(format!(
            "its events are of version {version}, this program reads up to {SCHEMA_VERSION}"
        )));
    }
    let rows = metadata.num_rows;
    let mut events = Vec::new();
    // Group by group, so that never much more is in memory than the budget allows.
    for group in &metadata.row_groups {
        let file = open_regular(path).map_err(io_error("open", path))?;
        let frame = ParquetReader::new(file)
            .with_slice(Some((events.len(), group.num_rows())))
            .finish()
            .map_err(&failed)?;
        let read = columns::events(&frame).map_err(&failed)?;
        let (before, all) = (events.len(), read.len());
        events.extend(read.into_iter().take_while(|event| budget.take(event)));
        if events.len() < before + all {
            break;
        }
    }
    let read = events.len();
    let problem =
        (read < rows).then(|| format!("only the first {read} of {rows} events were read"));
    Ok(Loaded { events, problem })
}
