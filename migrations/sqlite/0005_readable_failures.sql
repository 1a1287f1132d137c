-- The view for people is PostgreSQL's; the versions of both databases are the same.
select 1;
