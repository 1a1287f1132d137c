//! The messages of version 1 under test: golden fixtures, round trips, and whatever else arrives.

#![cfg(test)]

mod fixture;
mod golden;
mod job;
mod json;
mod noise;
mod pack;
mod reply;
mod samples;
mod version;
