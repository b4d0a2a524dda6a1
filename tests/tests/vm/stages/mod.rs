//! The stages beyond the installation.

mod one_of_each;
mod pythons;
mod quality;
mod suites;
