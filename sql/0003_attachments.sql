-- A run that lists file_search or code_interpreter asks which of them its thread's messages have files attached for.
create index messages_with_attachments on messages (thread_id) where attachments <> '[]'::jsonb;
