#include "trace/trace-hw_scsi_pr.h"
