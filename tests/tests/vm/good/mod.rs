//! Packages that do what packages do: nothing is said against them.

mod index;
mod ordinary_user;
mod packages;
