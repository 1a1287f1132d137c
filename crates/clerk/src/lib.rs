//! The public server: accepts requests, dispatches jobs, records replies, answers clients.
