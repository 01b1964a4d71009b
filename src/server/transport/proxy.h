/*
 * request_proxy (request.h): a request is handed to a backend on a unix socket, its answer or its
 * upgraded byte stream is carried back. Uses handler_data, on_close and on_drain of the request.
 */
#pragma once

#include "server/transport/request.h"
