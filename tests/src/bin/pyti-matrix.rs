//! `cargo xtask matrix`: prints what is on record of every action by every road.

use anyhow::Result;
use pyti_tests::matrix;

#[tokio::main]
async fn main() -> Result<()> {
    print!("{}", matrix::table(&matrix::run().await?));
    Ok(())
}
