//! Clerkwork: HTTP in, any worker, result out, nothing lost. The one binary, and the library to embed it.
