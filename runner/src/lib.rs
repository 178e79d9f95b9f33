//! Finetune Pythia and Qwen models and watch what every step does to every kind of response.
//!
//! [`book`] explains what is computed, how to use it and how to read what comes of it; the README has the first hour.

pub mod bench;
pub mod book;
pub mod chat;
pub mod checkpoint;
pub mod cli;
pub mod compat;
pub mod config;
pub mod data;
pub mod demo;
pub mod device;
pub mod dynamics;
pub mod environment;
pub mod files;
pub mod generate;
pub mod grid;
pub mod hub;
pub mod interrupt;
pub mod judge;
pub mod log;
pub mod memory;
pub mod model;
pub mod monitor;
pub mod objective;
pub mod plan;
pub mod probe;
pub mod progress;
pub mod record;
pub mod rephrase;
pub mod report;
pub mod score;
pub mod seed;
pub mod statistics;
pub mod study;
pub mod tensorboard;
pub mod train;
pub mod value;
pub mod verify;
