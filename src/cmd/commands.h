/* commands.h - the subcommands, one a file */
#pragma once

#include "cmd/cmd.h"

extern const struct belay__command belay__command_act, belay__command_alert, belay__command_audit,
	belay__command_backend, belay__command_beat, belay__command_completion,
	belay__command_config, belay__command_doctor, belay__command_events, belay__command_help_,
	belay__command_metrics, belay__command_key, belay__command_observe, belay__command_pause,
	belay__command_resume, belay__command_status, belay__command_version;
