//! Images, templates and clones of isolated virtual machines.
