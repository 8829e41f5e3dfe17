"use strict";

// Azurite's standard input is a pipe that the test session holds. It ends when the session does, however that comes
// about, so that a killed session leaves no server behind.
process.stdin.on("end", () => process.exit(0)).on("error", () => process.exit(0)).resume();
