//! The stages beyond the installation.

mod built_requirements;
mod one_of_each;
mod pythons;
mod quality;
mod suites;
